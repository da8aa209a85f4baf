//! Facts about the build that receipts record, and when they must be asked for again: what the program says of its
//! sources is what git says when it is built, in whatever kind of checkout.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What an untracked file of the workspace may be that counts as a change: an input wherever cargo or a source finds
/// it. Other untracked files count in folders that git knows, not beside them: a run folder at the root is no source.
const INPUTS: [&str; 5] = [".cargo/", "scenarios/", "rust-toolchain", "Cargo.toml", "Cargo.lock"];

fn main() {
    let root = Path::new(&env("CARGO_MANIFEST_DIR")).join("..");
    // Relative to this package, as git's answers are made to be.
    println!("cargo::rerun-if-changed=build.rs");
    let (commit, changed) = match Checkout::find(&root) {
        Ok(checkout) => {
            checkout.watch();
            (checkout.commit.clone(), checkout.changed().map(|changed| changed.to_string()).unwrap_or_default())
        }
        Err(why) => {
            println!("cargo::warning=receipts of this program will name no commit: {why}");
            if root.join(".git").exists() {
                // Asked again at each build until git answers: cargo takes a file that is missing for one that changed.
                println!("cargo::rerun-if-changed={}/git-did-not-answer", env("OUT_DIR"));
            }
            (String::new(), String::new())
        }
    };
    set("GIT_COMMIT", &commit);
    set("GIT_DIRTY", &changed);
    set("VERSION", &version(&commit, &changed));
    let rustc = output(Command::new(env("RUSTC")).arg("--version"));
    set("RUSTC", rustc.as_deref().map_or("unknown", str::trim));
    set("PROFILE", &profile());
    set("OPT_LEVEL", &env("OPT_LEVEL"));
    set("TARGET", &env("TARGET"));
    set("TARGET_FEATURES", &env("CARGO_CFG_TARGET_FEATURE"));
    // A gate builds another revision as this program was built.
    set("TOOLCHAIN", &env("RUSTUP_TOOLCHAIN"));
    set("RUSTFLAGS", &env("CARGO_ENCODED_RUSTFLAGS"));
    set("SETTINGS", &settings());
}

/// What `--version` says: the version, and the commit that it is of.
fn version(commit: &str, changed: &str) -> String {
    let changes = if changed == "true" { " with changes" } else { "" };
    let commit = commit.get(..12).map_or_else(|| "commit unknown".to_owned(), |id| format!("commit {id}{changes}"));
    format!("{} ({commit})", env("CARGO_PKG_VERSION"))
}

/// The workspace as a checkout of its own repository.
struct Checkout {
    root: PathBuf,
    commit: String,
    /// Environment variables with which a hook tells its own git where to work.
    places: Vec<String>,
    tracked: Vec<String>,
}

impl Checkout {
    /// Asks git; the error is its reason. A repository around an unpacked archive is another's: neither its commit nor
    /// its changes are about these sources.
    fn find(root: &Path) -> Result<Self, String> {
        let places = output(Command::new("git").args(["rev-parse", "--local-env-vars"]))?;
        // Configuration stays: it may be what makes git trust the folder.
        let places = places.lines().filter(|name| !name.starts_with("GIT_CONFIG")).map(str::to_owned).collect();
        let root = root.canonicalize().map_err(|e| e.to_string())?;
        let mut checkout = Self { root, commit: String::new(), places, tracked: Vec::new() };
        let top = checkout.line(&["rev-parse", "--show-toplevel"])?;
        if Path::new(&top).canonicalize().ok().as_ref() != Some(&checkout.root) {
            return Err(format!("the repository at {top} is not this workspace's own"));
        }
        checkout.tracked = checkout.list(&["ls-files", "-z"])?;
        let own = Path::new(&env("CARGO_MANIFEST_DIR")).join("build.rs").canonicalize().map_err(|e| e.to_string())?;
        if !checkout.tracked.iter().any(|path| checkout.root.join(path) == own) {
            return Err(format!("the repository at {top} does not track these sources"));
        }
        checkout.commit = checkout
            .line(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
            .map_err(|_| "HEAD has no commit yet".to_owned())?;
        Ok(checkout)
    }

    /// Whether anything differs from the commit; unknown where git does not say.
    fn changed(&self) -> Option<bool> {
        let flags = ["--porcelain", "-z", "--untracked-files=normal", "--no-renames", "--ignore-submodules=none"];
        let entries = self.list(&[&["status"][..], &flags].concat()).ok()?;
        let folders = self.folders();
        Some(entries.iter().any(|entry| match entry.strip_prefix("?? ") {
            Some(path) => {
                let in_known = path.split_once('/').is_some_and(|(folder, _)| folders.contains(folder));
                in_known || INPUTS.iter().any(|input| path.starts_with(input))
            }
            None => true,
        }))
    }

    /// Folders at the root that hold tracked files.
    fn folders(&self) -> BTreeSet<&str> {
        self.tracked.iter().filter_map(|path| Some(path.split_once('/')?.0)).collect()
    }

    /// Names everything after whose change the answers may be others.
    fn watch(&self) {
        let inputs = INPUTS.iter().map(|input| input.trim_end_matches('/'));
        let at_root = self.tracked.iter().map(String::as_str).filter(|path| !path.contains('/'));
        let ignored = self.ignored();
        for path in self.folders().into_iter().chain(inputs).chain(at_root).collect::<BTreeSet<_>>() {
            watch_without(&self.root.join(path), &ignored);
        }
        for name in ["HEAD", "logs/HEAD", "index", "reftable"] {
            self.git_path(name).iter().for_each(|path| watch(path));
        }
        if let Ok(common) = self.line(&["rev-parse", "--git-common-dir"]) {
            watch(&self.root.join(common).join("reftable"));
        }
        let branch = self.line(&["symbolic-ref", "--quiet", "HEAD"]).ok();
        if let Some(branch) = branch.and_then(|branch| self.git_path(&branch)) {
            // A packed branch has no file until its next commit: the folder that gets one is watched instead.
            let there = branch.ancestors().find(|path| path.exists());
            there.iter().for_each(|path| watch(path));
            if there != Some(&branch) {
                self.git_path("packed-refs").iter().for_each(|path| watch(path));
            }
        }
    }

    /// What git never looks at: what is there, and what the root's .gitignore says will be at a place.
    fn ignored(&self) -> Vec<PathBuf> {
        let there = self.list(&["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"]);
        let rules = fs::read_to_string(self.root.join(".gitignore")).unwrap_or_default();
        let places = rules.lines().filter_map(|rule| rule.trim_end().strip_prefix('/')).map(str::to_owned);
        let paths = there.unwrap_or_default().into_iter().chain(places);
        paths.map(|path| self.root.join(path.trim_end_matches('/'))).collect()
    }

    fn git_path(&self, name: &str) -> Option<PathBuf> {
        Some(self.root.join(self.line(&["rev-parse", "--git-path", name]).ok()?))
    }

    fn list(&self, args: &[&str]) -> Result<Vec<String>, String> {
        Ok(self.git(args)?.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
    }

    fn line(&self, args: &[&str]) -> Result<String, String> {
        Ok(self.git(args)?.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn git(&self, args: &[&str]) -> Result<String, String> {
        let mut git = Command::new("git");
        for place in &self.places {
            git.env_remove(place);
        }
        // Without optional locks, or asking would touch the index; without a monitor, which would outlive the build.
        output(git.args(["--no-optional-locks", "-c", "core.fsmonitor=false"]).args(args).current_dir(&self.root))
    }
}

/// Watches a file or a folder with all that is in it, but for what is ignored.
fn watch_without(path: &Path, ignored: &[PathBuf]) {
    if ignored.iter().any(|ignored| path.starts_with(ignored)) {
        return;
    }
    if !path.is_dir() || !ignored.iter().any(|ignored| ignored.starts_with(path)) {
        return watch(path);
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        watch_without(&entry.path(), ignored);
    }
}

fn watch(path: &Path) {
    // Cargo takes a file that is missing for one that changed, at every build.
    if let Some(path) = path.to_str().filter(|text| path.exists() && !text.contains('\n')) {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// What a command prints, or why there is nothing: its own first line.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.env("LC_ALL", "C").stdin(Stdio::null()).output().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!("{name} is not installed"),
        _ => format!("cannot run {name}: {e}"),
    })?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    // The first line, and the command that it advises, which git indents.
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let first = said.lines().next().unwrap_or("it failed without a word").trim_start_matches("fatal: ");
    let advice = said.lines().find_map(|line| line.strip_prefix('\t'));
    Err(advice.map_or_else(|| first.to_owned(), |advice| format!("{first}; {advice}")))
}

/// OUT_DIR is .../<profile>/build/<package>/..., and PROFILE only knows debug and release.
fn profile() -> String {
    let out = PathBuf::from(env("OUT_DIR"));
    let build = out.ancestors().find(|path| path.file_name().is_some_and(|name| name == "build"));
    let folder = build.and_then(Path::parent).and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    folder.map_or_else(|| env("PROFILE"), |name| if name == "debug" { "dev".into() } else { name })
}

/// Environment variables that change a profile, a unit separator between them, as in the encoded RUSTFLAGS.
fn settings() -> String {
    let texts =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let names = ["CARGO_INCREMENTAL", "CARGO_BUILD_INCREMENTAL"];
    let set = texts.filter(|(name, _)| name.starts_with("CARGO_PROFILE_") || names.contains(&name.as_str()));
    let mut set: Vec<String> = set.map(|(name, value)| format!("{name}={value}")).collect();
    set.sort_unstable();
    set.join("\x1f")
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn set(name: &str, value: &str) {
    println!("cargo::rustc-env=TRITBENCH_{name}={value}");
}
