//! The program from outside: what it prints, writes, refuses and leaves behind. One test program, so that its tests
//! share the CPUs and a run that several of them look at.

mod activations;
mod adversity;
mod bad_input;
#[cfg(unix)]
mod bisecting;
#[cfg(unix)]
mod build_facts;
mod cli_contract;
mod common;
mod converting;
mod corpus;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod count;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod count_asm;
mod damaged_models;
mod doctor;
mod emulated;
mod engine_serve;
mod engines;
#[cfg(unix)]
mod fleet;
mod gate;
mod gate_coverage;
mod goldens;
mod gpu;
#[cfg(feature = "gpu")]
mod gpu_texts;
#[cfg(target_os = "linux")]
mod guests;
#[cfg(unix)]
mod interrupt;
mod limits_and_claims;
mod named_files;
mod readings;
mod readme_code;
mod receipt;
mod report_pages;
#[cfg(unix)]
mod repository;
#[cfg(target_os = "linux")]
mod revisions;
mod toolchain;
mod typed;
#[cfg(target_os = "linux")]
mod worker;
