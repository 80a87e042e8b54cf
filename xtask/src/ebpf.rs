//! `cargo xtask build-ebpf`: the kernel program, as it is committed and embedded, so that users need stable Rust alone.
//!
//! Debian's compiler builds it, as its packages hold the source of `core` and rustup's do not always; the linker is
//! bpf-linker. The object is the same wherever it is built, so that `--check` can hold the committed one to its source.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    command::{openly, output, quietly},
    setup, skips,
    workspace::{cargo, root},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Do not write the object: fail if the committed one is not what the source gives.
    #[arg(long)]
    check: bool,
}

/// The object, as it is committed.
const OBJECT: &str = "observer-ebpf/observer.bpf.o";

const TARGET: &str = "bpfel-unknown-none";
/// The compiler, and the version that the committed object is of.
const RUSTC: &str = "/usr/bin/rustc";
const RUSTC_VERSION: &str = "1.96.0";
/// Newer ones want the headers of LLVM; this one takes the library that comes with rustup's compiler.
const LINKER: &str = "bpf-linker";
const LINKER_VERSION: &str = "0.10.3";

/// `cargo xtask build-ebpf`.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.check {
        return check();
    }
    prepare()?;
    let built = build()?;
    let committed = root().join(OBJECT);
    fs::write(&committed, &built).with_context(|| committed.display().to_string())?;
    println!("{OBJECT}: {} bytes", built.len());
    Ok(())
}

/// Holds the committed object to its source, where the compiler can be had.
pub(crate) fn check() -> Result<()> {
    if let Err(error) = prepare() {
        return skips::skip("the kernel program is what its source gives", &format!("{error:#}"));
    }
    compare(&build()?, &root().join(OBJECT))
}

/// Installs what is missing.
fn prepare() -> Result<()> {
    if !Path::new(RUSTC).is_file() || !library()?.is_dir() {
        setup::install(&["rustc-web", "rust-web-src"])?;
    }
    if linker().is_none() {
        println!("setup: installing {LINKER} {LINKER_VERSION}");
        let mut install = cargo(&["install", LINKER, "--version", LINKER_VERSION, "--locked", "--root"]);
        quietly(install.arg(tools()))?;
    }
    Ok(())
}

/// The source of the compiler's library.
fn library() -> Result<PathBuf> {
    Ok(sysroot(RUSTC)?.join("lib/rustlib/src/rust"))
}

fn sysroot(rustc: &str) -> Result<PathBuf> {
    Ok(PathBuf::from(output(rustc, &["--print", "sysroot"])?.trim()))
}

/// Where tools of this repository alone are installed.
fn tools() -> PathBuf {
    root().join(".cache").join(LINKER)
}

/// The linker of the right version, in the path or installed by us.
fn linker() -> Option<PathBuf> {
    let own = tools().join("bin").join(LINKER);
    [PathBuf::from(LINKER), own].into_iter().find(|linker| {
        let told = Command::new(linker).arg("--version").output();
        told.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).contains(LINKER_VERSION))
    })
}

/// Builds the object and gives its bytes.
fn build() -> Result<Vec<u8>> {
    let target = root().join("target/ebpf");
    let linker = linker().context("bpf-linker was installed and is not there")?;
    let mut flags = vec!["-Cdebuginfo=2".into(), "-Clink-arg=--btf".into(), joined("-Clinker=", &linker)];
    for (from, to) in renamed(&target)? {
        flags.push(joined("--remap-path-prefix=", &from));
        if let Some(last) = flags.last_mut() {
            last.push(format!("={to}"));
        }
    }
    let mut build = cargo(&["build", "--quiet", "--package", "observer-ebpf", "--bin", "observer-ebpf"]);
    build.args(["--features", "kernel", "--profile", "kernel", "--target", TARGET, "-Zbuild-std=core", "--target-dir"]);
    build.arg(&target).env("RUSTC", RUSTC).env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTFLAGS");
    openly(build.env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsString::from("\u{1f}").as_os_str())))?;
    let linked = target.join(TARGET).join("kernel/observer-ebpf");
    let stripped = linked.with_extension("o");
    quietly(Command::new(objcopy()?).arg("--strip-debug").arg(&linked).arg(&stripped))?;
    let bytes = fs::read(&stripped).with_context(|| stripped.display().to_string())?;
    clean(&bytes)?;
    Ok(bytes)
}

/// Directories whose names must not be in the object, and what stands there instead.
fn renamed(target: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).context("where is cargo's home?")?;
    let mut names = vec![(root().to_owned(), "observer"), (target.to_owned(), "target"), (library()?, "rust")];
    // A registry's directory bears the name of its host.
    if let Ok(registries) = fs::read_dir(home.join("registry/src")) {
        names.extend(registries.flatten().map(|registry| (registry.path(), "registry")));
    }
    Ok(names)
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(option);
    flag.push(path);
    flag
}

/// Rustup's, beside its compiler.
fn objcopy() -> Result<PathBuf> {
    let rustlib = sysroot("rustc")?.join("lib/rustlib");
    let hosts = fs::read_dir(&rustlib).with_context(|| rustlib.display().to_string())?;
    let mut tools = hosts.flatten().map(|host| host.path().join("bin/rust-objcopy"));
    tools.find(|tool| tool.is_file()).context("rust-objcopy is missing: install Rust with rustup")
}

/// An error where the object tells of the machine it was built on.
fn clean(object: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(object);
    let home = std::env::home_dir().unwrap_or_else(|| "/root".into());
    for trace in [root().to_string_lossy(), home.to_string_lossy(), "/usr/".into(), "index.crates.io".into()] {
        ensure!(!text.contains(&*trace), "the object holds {trace:?}, a name of this machine or of a registry");
    }
    Ok(())
}

fn compare(built: &[u8], committed: &Path) -> Result<()> {
    let old = fs::read(committed).with_context(|| committed.display().to_string())?;
    if old == built {
        println!("{OBJECT} is what the source gives, {} bytes", built.len());
        return Ok(());
    }
    let version = output(RUSTC, &["--version"])?;
    let differ = old.iter().zip(built).position(|(old, new)| old != new).unwrap_or(old.len().min(built.len()));
    let hint = if version.contains(RUSTC_VERSION) {
        "run `cargo xtask build-ebpf` and commit it".to_owned()
    } else {
        format!("this machine's {RUSTC} is {}, the object is of {RUSTC_VERSION}: update both", version.trim())
    };
    bail!("{OBJECT} is not what the source gives (from byte {differ} on); {hint}");
}
