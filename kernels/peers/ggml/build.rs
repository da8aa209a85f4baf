//! Hands the crate what it tells of ggml: the version of the package that has it, and how its C code was compiled.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=Cargo.lock");
    let lock = fs::read_to_string("Cargo.lock").expect("cargo wrote it");
    let version = lock.split("name = \"llama-cpp-sys-2\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    println!("cargo:rustc-env=LLAMA_CPP_SYS_VERSION={}", version.expect("a dependency"));

    // `links = "llama"` of that package: the folder that its CMake ran in.
    let root = env::var("DEP_LLAMA_ROOT").expect("llama-cpp-sys-2 says where it was built");
    let cache = fs::read_to_string(Path::new(&root).join("build/CMakeCache.txt")).expect("CMake ran there");
    let value = |name: &str| {
        let named = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
        cache.lines().find(named).and_then(|line| line.split_once('=')).map_or("", |(_, value)| value.trim())
    };
    let said = Command::new(value("CMAKE_C_COMPILER")).arg("--version").output().expect("the compiler that was used");
    let compiler = String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or("unknown").to_owned();
    let build = value("CMAKE_BUILD_TYPE");
    let flags = value(&format!("CMAKE_C_FLAGS_{}", build.to_uppercase()));
    println!("cargo:rustc-env=GGML_COMPILER={compiler}, {build} {flags} GGML_NATIVE={}", value("GGML_NATIVE"));
}
