//! Compiles the C reference: what fills the memory as plain `cc` gives it and, on `x86_64`, for AVX2, too; all else
//! once.

use std::env;
use std::path::PathBuf;

const SOURCE: &str = "vendor/phc-winner-argon2/src";

fn main() {
    println!("cargo::rerun-if-changed=shim.c");
    println!("cargo::rerun-if-changed=vendor");
    let mut whole = c(&["argon2.c", "core.c", "encoding.c", "blake2/blake2b.c"], "shared");
    whole.file("shim.c");
    // As the reference's own Makefile chooses.
    let with_sse2 = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|architecture| architecture == "x86_64");
    let fill = if with_sse2 { "opt.c" } else { "ref.c" };
    whole.objects(c(&[fill], "plain").define("fill_segment", "fill_segment_plain").compile_intermediates());
    if with_sse2 {
        let mut avx2 = c(&[fill], "avx2");
        whole.objects(avx2.define("fill_segment", "fill_segment_avx2").flag("-mavx2").compile_intermediates());
    }
    whole.out_dir(env::var_os("OUT_DIR").unwrap_or_default()).compile("argon2_reference");
}

/// Optimised in every profile, as the reference's own Makefile does; in a folder of its own.
fn c(files: &[&str], folder: &str) -> cc::Build {
    let mut build = cc::Build::new();
    build.files(files.iter().map(|file| format!("{SOURCE}/{file}"))).include("vendor/phc-winner-argon2/include");
    build.include(SOURCE).define("ARGON2_NO_THREADS", None).opt_level(3).warnings(false);
    build.out_dir(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join(folder));
    build
}
