//! `sayso --version`; with `--verbose` also its compiler and crates, for support requests and
//! security advisories.

use std::io::{self, Write};

/// Prints the version; with `verbose` also commit, target, compiler and all crates.
pub(super) fn print(verbose: bool, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "sayso {}", env!("CARGO_PKG_VERSION"))?;
    if !verbose {
        return Ok(());
    }
    // Set by the package build. Asking git here would rebuild the program for every commit.
    let commit = option_env!("SAYSO_COMMIT")
        .filter(|commit| !commit.is_empty())
        .unwrap_or("unknown");
    let crates: Vec<&str> = env!("SAYSO_CRATES")
        .split(',')
        .filter(|name| !name.is_empty())
        .collect();
    writeln!(
        out,
        "commit {commit}\ntarget {}\ncompiler {}\ncrates {}",
        env!("SAYSO_TARGET"),
        env!("SAYSO_RUSTC"),
        crates.len()
    )?;
    for name in crates {
        writeln!(out, "  {name}")?;
    }
    Ok(())
}
