//! `sayso --version`, and with `--verbose` what it was built of: what to send with a report, and what to look for in an advisory.

use std::io::{self, Write};

/// Prints the version; with `verbose`, commit, target, compiler and every crate as well.
pub(super) fn print(verbose: bool, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "sayso {}", env!("CARGO_PKG_VERSION"))?;
    if !verbose {
        return Ok(());
    }
    // Set from outside by who builds a package: asking git here would build anew with every commit.
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
