//! Writes what a package has beside the program: manual pages of the command line and of the config files, and completions.
//! `cargo run --example pages -- FOLDER`

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap_complete::Shell;

mod config;

/// The config files whose comments are their documentation: the page, what it is, and the file.
const CONFIGS: [(&str, &str, &str); 2] = [
    ("sayso.toml", "how sayso runs", include_str!("../../config/sayso.toml")),
    ("sayso-home.toml", "the devices sayso commands", include_str!("../../config/home.toml")),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("which folder?")?);
    fs::create_dir_all(&folder)?;
    commands(&folder)?;
    for (name, what, text) in CONFIGS {
        fs::write(folder.join(format!("{name}.5")), config::page(name, what, text))?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut sayso::cli::line(), "sayso", &folder)?;
    }
    Ok(())
}

/// `sayso.1`, and a page for each of its commands.
fn commands(folder: &Path) -> Result<(), Box<dyn Error>> {
    let also = ".SH \"SEE ALSO\"\n.BR sayso (1),\n.BR sayso.toml (5),\n.BR sayso-home.toml (5)\n";
    let mut line = sayso::cli::line();
    line.build();
    let write = |command: clap::Command, name: &str| -> Result<(), Box<dyn Error>> {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).title(name).source(format!("sayso {}", env!("CARGO_PKG_VERSION"))).manual("sayso").render(&mut page)?;
        page.extend(also.as_bytes());
        Ok(fs::write(folder.join(format!("{name}.1")), page)?)
    };
    for command in line.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = format!("sayso-{}", command.get_name());
        write(command.clone(), &name)?;
    }
    write(line, "sayso")
}
