// Adapter over the public llama.h: llama.cpp, ik_llama.cpp, bitnet.cpp. Token ids in, token ids out, one line of JSON
// each. No tokenizer, no server, no code of those projects. llama.sh compiles it.
//
// The header differs between versions. What it has is tried out, never guessed from a name: llama.sh compiles each
// expression below and defines the word before it where that works.
//
// probe HAS_MEMORY: llama_memory_clear(llama_get_memory(0), 1)
// probe HAS_KV_SELF: llama_kv_self_clear(0)
// probe HAS_MODEL_LOAD: llama_model_load_from_file("", llama_model_default_params())
// probe HAS_INIT: llama_init_from_model(0, llama_context_default_params())
// probe HAS_VOCAB: llama_vocab_n_tokens(llama_model_get_vocab(0))
// probe HAS_REPACK: llama_model_default_params().repack_tensors
// probe HAS_TRAITS_CPU: ggml_get_type_traits_cpu(GGML_TYPE_F16)->vec_dot_type
// probe HAS_TRAITS: ggml_get_type_traits(GGML_TYPE_F16)->vec_dot_type
// probe HAS_VERSION: llama_version()
// probe HAS_IQ2_BN: GGML_TYPE_IQ2_BN
// probe HAS_I2_S: GGML_TYPE_I2_S
#define _POSIX_C_SOURCE 200809L
#include "ggml.h"
#include "llama.h"
#if __has_include("gguf.h")
#include "gguf.h"
#endif
#if __has_include("ggml-cpu.h")
#include "ggml-cpu.h"
#endif
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static FILE *answers; // The engine may print to stdout: answers go to a descriptor of their own.
static char first_error[512];
static struct llama_model *model;
static struct llama_context *context;
static struct llama_batch batch;
static int vocabulary, most_ids, longest, repack;

// ---- requests: flat objects of strings, whole numbers and lists of whole numbers

static char string[4096];
static int *ids, ids_room, id_count;
static struct { char request[32], model[4096]; long threads, batch, context, count, window; } asked;

static const char *spaces(const char *at) { return at + strspn(at, " \t\r\n"); }

// Reads a string into `string`; NULL where there is none.
static const char *read_string(const char *at) {
    size_t n = 0;
    if (*at++ != '"') return NULL;
    while (*at && *at != '"' && n < sizeof string - 4) {
        unsigned c = (unsigned char)*at++;
        if (c != '\\') { string[n++] = (char)c; continue; }
        c = (unsigned char)*at++;
        const char *name = "nntt\"\"\\\\//bbrrff", *found = c ? strchr(name, (int)c) : NULL;
        if (found) { string[n++] = "\n\t\"\\/\b\r\f"[(found - name) / 2]; continue; }
        if (c != 'u' || sscanf(at, "%4x", &c) != 1) return NULL;
        at += 4;
        if (c < 0x80) string[n++] = (char)c;
        else if (c < 0x800) { string[n++] = (char)(0xC0 | c >> 6); string[n++] = (char)(0x80 | (c & 63)); }
        else {
            string[n++] = (char)(0xE0 | c >> 12);
            string[n++] = (char)(0x80 | (c >> 6 & 63));
            string[n++] = (char)(0x80 | (c & 63));
        }
    }
    string[n] = 0;
    return *at == '"' ? at + 1 : NULL;
}

static const char *read_ids(const char *at) {
    char *end;
    for (id_count = 0, at = spaces(at + 1); *at && *at != ']'; at = spaces(*end == ',' ? end + 1 : end)) {
        if (id_count == ids_room) {
            ids_room = 2 * ids_room + 1024;
            if (!(ids = realloc(ids, (size_t)ids_room * sizeof *ids))) return NULL;
        }
        ids[id_count++] = (int)strtol(at, &end, 10);
        if (end == at) return NULL;
    }
    return *at ? at + 1 : NULL;
}

static int read_request(const char *at) {
    memset(&asked, 0, sizeof asked);
    id_count = 0;
    if (*(at = spaces(at)) != '{') return 0;
    for (at = spaces(at + 1); *at && *at != '}'; at = spaces(*at == ',' ? at + 1 : at)) {
        char key[64];
        if (!(at = read_string(at))) return 0;
        snprintf(key, sizeof key, "%s", string);
        if (*(at = spaces(at)) != ':') return 0;
        at = spaces(at + 1);
        if (*at == '"') {
            if (!(at = read_string(at))) return 0;
            if (!strcmp(key, "request")) snprintf(asked.request, sizeof asked.request, "%s", string);
            if (!strcmp(key, "model")) snprintf(asked.model, sizeof asked.model, "%s", string);
        } else if (*at == '[') {
            if (!(at = read_ids(at))) return 0;
        } else {
            char *end;
            long number = (long)strtod(at, &end);
            if (end == at) return 0;
            at = end;
            long *field = !strcmp(key, "threads") ? &asked.threads : !strcmp(key, "batch") ? &asked.batch
                : !strcmp(key, "context") ? &asked.context : !strcmp(key, "count") ? &asked.count
                : !strcmp(key, "window") ? &asked.window : NULL;
            if (field) *field = number;
        }
    }
    return *at == '}';
}

// ---- answers

static void print_string(const char *text) {
    fputc('"', answers);
    for (; *text; text++)
        if (*text == '"' || *text == '\\') fprintf(answers, "\\%c", *text);
        else if ((unsigned char)*text < 32) fputc(' ', answers);
        else fputc(*text, answers);
    fputc('"', answers);
}

static void refuse(const char *what, const char *why) {
    char text[1024];
    snprintf(text, sizeof text, "%s%s%s", what, *why ? ": " : "", why);
    text[strcspn(text, "\n")] = 0;
    fputs("{\"error\": ", answers);
    print_string(text);
    fputs("}\n", answers);
}

static void keep_errors(enum ggml_log_level level, const char *text, void *user) {
    (void)user;
    if (level != GGML_LOG_LEVEL_ERROR && level != GGML_LOG_LEVEL_WARN) return;
    fputs(text, stderr);
    // The first of several says what was wrong, the others that something was.
    if (level == GGML_LOG_LEVEL_ERROR && !*first_error) snprintf(first_error, sizeof first_error, "%s", text);
}

static unsigned long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long long)t.tv_sec * 1000000000ull + (unsigned long long)t.tv_nsec;
}

static const char *engine(void) {
#if defined(HAS_IQ2_BN)
    return "ik_llama.cpp";
#elif defined(HAS_I2_S)
    return "bitnet.cpp";
#else
    return "llama.cpp";
#endif
}

static const char *version(void) {
    static char text[256];
#ifdef HAS_VERSION
    snprintf(text, sizeof text, "%s, %s", llama_version(), BUILD);
#else
    snprintf(text, sizeof text, "%s", BUILD);
#endif
    return text;
}

// ---- the model

// Which activations share a scale: what the library itself says it multiplies weights of this type with.
static const char *activations(enum ggml_type type) {
    static char words[96];
#ifdef HAS_REPACK
    if (repack && type == GGML_TYPE_IQ2_BN) type = GGML_TYPE_IQ2_BN_R4;
#endif
#if defined(HAS_TRAITS_CPU)
    const char *name = ggml_type_name(ggml_get_type_traits_cpu(type)->vec_dot_type);
#elif defined(HAS_TRAITS)
    const char *name = ggml_type_name(ggml_get_type_traits(type)->vec_dot_type);
#else
    const char *name = ggml_type_name(ggml_internal_get_type_traits(type).vec_dot_type);
#endif
    if (!name || !strcmp(name, "f32") || !strcmp(name, "f16")) return "";
    if (!strcasecmp(name, "q8_K")) return "256";
    if (!strcasecmp(name, "q8_0")) return "32";
    if (!strcasecmp(name, "i8_s")) return "token";
    int parts = !strcasecmp(name, "q8_K64") || !strcasecmp(name, "q8_K16");
    snprintf(words, sizeof words, "%s%s", name, parts ? ": four interleaved parts of a token, a scale each" : "");
    return words;
}

static void load(void) {
    if (context) { refuse("a model is loaded already", ""); return; }
    struct gguf_context *file = gguf_init_from_file(asked.model, (struct gguf_init_params){.no_alloc = true});
    if (!file) { refuse("not a GGUF file", asked.model); return; }
    long head = (long)gguf_find_tensor(file, "output.weight");
    if (head < 0) head = (long)gguf_find_tensor(file, "token_embd.weight");
    long ternary = (long)gguf_find_tensor(file, "blk.0.ffn_up.weight");
    enum ggml_type head_type = head < 0 ? GGML_TYPE_F32 : gguf_get_tensor_type(file, head);
    enum ggml_type type = ternary < 0 ? GGML_TYPE_F32 : gguf_get_tensor_type(file, ternary);
    gguf_free(file);

    struct llama_model_params of_model = llama_model_default_params();
    of_model.n_gpu_layers = 0;
#ifdef HAS_REPACK
    of_model.repack_tensors = repack;
#endif
#ifdef HAS_MODEL_LOAD
    model = llama_model_load_from_file(asked.model, of_model);
#else
    model = llama_load_model_from_file(asked.model, of_model);
#endif
    if (!model) { refuse("the engine does not load this file", first_error); return; }

    struct llama_context_params of_context = llama_context_default_params();
    of_context.n_ctx = (uint32_t)asked.context;
    of_context.n_batch = of_context.n_ubatch = (uint32_t)asked.batch;
    of_context.n_threads = of_context.n_threads_batch = asked.threads;
    of_context.type_k = of_context.type_v = GGML_TYPE_F16;
#ifdef HAS_INIT
    context = llama_init_from_model(model, of_context);
#else
    context = llama_new_context_with_model(model, of_context);
#endif
    if (!context) { refuse("the engine makes no context", first_error); return; }
#ifdef HAS_VOCAB
    vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
#else
    vocabulary = llama_n_vocab(model);
#endif
    most_ids = (int)llama_n_ubatch(context);
    longest = (int)llama_n_ctx(context);
    batch = llama_batch_init(most_ids, 0, 1);
    // Whole bits of a weight, its share of the scales left out: q8_0 has 8.5, q6_K 6.6, q4_0 4.5.
    int bits = (int)(8 * ggml_type_size(head_type) / (size_t)ggml_blck_size(head_type));
    fprintf(answers, "{\"vocabulary\": %d, \"threads\": %d, \"head_bits\": %d, \"cache\": \"f16\", \"batch\": %d, "
        "\"activations\": ", vocabulary, (int)llama_n_threads(context), bits, most_ids);
    print_string(activations(type));
    fputs("}\n", answers);
}

static void empty_cache(void) {
#if defined(HAS_MEMORY)
    llama_memory_clear(llama_get_memory(context), true);
#elif defined(HAS_KV_SELF)
    llama_kv_self_clear(context);
#else
    llama_kv_cache_clear(context);
#endif
}

// Feeds one piece of at most `most_ids`; logits of all of it, or of its last id.
static int feed(const int *piece, int count, int position, int all) {
    batch.n_tokens = count;
    for (int i = 0; i < count; i++) {
        batch.token[i] = piece[i];
        batch.pos[i] = position + i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = all || i == count - 1;
    }
    return llama_decode(context, batch) == 0;
}

// Logits after the last of the ids, from an empty cache.
static const float *feed_prompt(void) {
    empty_cache();
    for (int at = 0; at < id_count; at += most_ids) {
        int count = id_count - at < most_ids ? id_count - at : most_ids;
        if (!feed(ids + at, count, at, 0)) return NULL;
        if (at + count == id_count) return llama_get_logits_ith(context, count - 1);
    }
    return NULL;
}

static int best(const float *logits) {
    int best = 0;
    for (int i = 1; i < vocabulary; i++) if (logits[i] > logits[best]) best = i;
    return best;
}

static void generate(void) {
    int *text = malloc((size_t)asked.count * sizeof *text), failed = 0;
    unsigned long long begin = now();
    const float *logits = feed_prompt();
    if (!text || !logits) { free(text); refuse("the engine does not decode the prompt", first_error); return; }
    text[0] = best(logits);
    unsigned long long first = now();
    for (long i = 1; i < asked.count && !failed; i++) {
        failed = !feed(text + i - 1, 1, id_count + (int)i - 1, 0);
        if (!failed) text[i] = best(llama_get_logits_ith(context, 0));
    }
    unsigned long long end = now();
    if (failed) { free(text); refuse("the engine stops decoding", first_error); return; }
    for (long i = 0; i < asked.count; i++) fprintf(answers, "%s%d", i ? ", " : "{\"ids\": [", text[i]);
    fprintf(answers, "], \"prompt_ns\": %llu, \"decode_ns\": %llu}\n", first - begin, end - first);
    free(text);
}

static double loss(const float *logits, int next) {
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < vocabulary; i++) if (logits[i] > top) top = logits[i];
    for (int i = 0; i < vocabulary; i++) sum += exp(logits[i] - top);
    return top + log(sum) - logits[next];
}

static void score(void) {
    int window = (int)asked.window, windows = (id_count - 1) / window;
    double nats = 0;
    for (int w = 0; w < windows; w++) {
        empty_cache();
        for (int at = 0; at < window; at += most_ids) {
            int count = window - at < most_ids ? window - at : most_ids;
            const int *piece = ids + w * window + at;
            if (!feed(piece, count, at, 1)) { refuse("the engine does not decode a window", first_error); return; }
            for (int i = 0; i < count; i++) nats += loss(llama_get_logits_ith(context, i), piece[i + 1]);
        }
    }
    nats /= (double)windows * window;
    if (isfinite(nats)) fprintf(answers, "{\"nats\": %.17g", nats);
    else fputs(isnan(nats) ? "{\"nats\": NaN" : "{\"nats\": Infinity", answers);
    fprintf(answers, ", \"positions\": %d, \"rule\": \"every\", \"feeding\": \"at most %d ids at once\"}\n",
        windows * window, most_ids);
}

static void logits(void) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const float *last = feed_prompt();
    if (!last) { refuse("the engine does not decode the prompt", first_error); return; }
    size_t bytes = (size_t)vocabulary * 4;
    fputs("{\"logits\": \"", answers);
    for (size_t at = 0; at < bytes; at += 3) {
        unsigned long group = 0;
        for (size_t i = at; i < at + 3; i++) {
            unsigned bits = 0;
            if (i < bytes) memcpy(&bits, &last[i / 4], 4);
            group = group << 8 | (bits >> 8 * (i % 4) & 255);
        }
        for (size_t i = 0; i < 4; i++)
            fputc(at + i > bytes ? '=' : digits[group >> (18 - 6 * i) & 63], answers);
    }
    fputs("\"}\n", answers);
}

// Why the ids cannot be computed with; NULL where they can.
static const char *unfit(int score) {
    if (!context) return "no model is loaded";
    for (int i = 0; i < id_count; i++) if (ids[i] < 0 || ids[i] >= vocabulary) return "an id outside the vocabulary";
    if (score) return asked.window < 1 || asked.window >= id_count ? "fewer ids than a window has"
        : asked.window > longest ? "a window longer than the context" : NULL;
    if (!id_count) return "no ids";
    // Nothing is computed of the last id.
    return id_count + asked.count - 1 > longest ? "more ids than the context holds" : NULL;
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "--version")) return printf("%s %s\n", engine(), version()) < 0;
    repack = argc == 2 && !strcmp(argv[1], "--repack");
#ifndef HAS_REPACK
    if (repack) { fprintf(stderr, "%s has no choice of repacking: leave --repack out\n", engine()); return 1; }
#endif
    answers = fdopen(dup(1), "w");
    if (!answers || dup2(2, 1) < 0) return 1;
    llama_log_set(keep_errors, NULL);
    llama_backend_init();
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        first_error[0] = 0;
        const char *why = read_request(line) ? NULL : "a request that is no flat JSON object";
        int generates = !strcmp(asked.request, "generate"), scores = !strcmp(asked.request, "score");
        int wants_logits = !strcmp(asked.request, "logits");
        if (!why && (generates || scores || wants_logits)) why = unfit(scores);
        if (!why && generates && asked.count < 1) why = "a count below 1";
        if (why) refuse(why, "");
        else if (!strcmp(asked.request, "quit")) return 0;
        else if (!strcmp(asked.request, "describe")) {
            fprintf(answers, "{\"name\": \"%s\", \"version\": ", engine());
            print_string(version());
            fputs(", \"requests\": [\"generate\", \"score\", \"logits\"]}\n", answers);
        }
        else if (!strcmp(asked.request, "load")) load();
        else if (scores) score();
        else if (generates) generate();
        else if (wants_logits) logits();
        else refuse("no such request", asked.request);
        fflush(answers);
    }
    return 0;
}
