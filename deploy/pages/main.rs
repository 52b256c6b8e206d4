//! Writes the manual pages of the command line and of the configuration files, and shell
//! completions. `cargo run -p sayso-pages -- FOLDER`

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap_complete::Shell;

mod config;

/// The configuration files whose comments are their documentation: name of the page, title, text.
const CONFIGS: [(&str, &str, &str); 2] = [
    (
        "sayso.toml",
        "how sayso runs",
        include_str!("../../config/sayso.toml"),
    ),
    (
        "sayso-home.toml",
        "the devices sayso commands",
        include_str!("../../config/home.toml"),
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("which folder?")?);
    fs::create_dir_all(&folder)?;
    commands(&folder)?;
    for (name, what, text) in CONFIGS {
        fs::write(
            folder.join(format!("{name}.5")),
            config::page(name, what, text),
        )?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut sayso::cli::line(), "sayso", &folder)?;
    }
    Ok(())
}

/// Writes `sayso.1` and a page for each subcommand.
fn commands(folder: &Path) -> Result<(), Box<dyn Error>> {
    let also = ".SH \"SEE ALSO\"\n.BR sayso (1),\n.BR sayso.toml (5),\n.BR sayso-home.toml (5)\n";
    let mut line = sayso::cli::line();
    line.build();
    let write = |command: clap::Command, name: &str| -> Result<(), Box<dyn Error>> {
        // The `help` subcommand of clap has no page.
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let man = clap_mangen::Man::new(
            command
                .mut_subcommands(|below| {
                    if below.get_name() == "help" {
                        below.hide(true)
                    } else {
                        below
                    }
                })
                .after_help(Resettable::Reset),
        );
        let man = man
            .title(name)
            .source(format!("sayso {}", env!("CARGO_PKG_VERSION")))
            .manual("sayso");
        let mut page = Vec::new();
        man.render(&mut page)?;
        page.extend(sections(&help).into_bytes());
        page.extend(also.as_bytes());
        Ok(fs::write(folder.join(format!("{name}.1")), page)?)
    };
    for command in line
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        let name = format!("sayso-{}", command.get_name());
        write(command.clone(), &name)?;
    }
    write(line, "sayso")
}

/// The text below the options of `--help` as sections: a short line followed by a block is a title,
/// the rest are notes.
fn sections(help: &str) -> String {
    let escaped = help.replace('\\', "\\\\").replace('-', "\\-");
    let mut notes = [".SH NOTES"].into_iter().chain(std::iter::repeat(".PP"));
    escaped
        .split("\n\n")
        .filter(|paragraph| !paragraph.trim().is_empty())
        .map(|paragraph| section(paragraph, &mut notes))
        .collect()
}

fn section(paragraph: &str, notes: &mut impl Iterator<Item = &'static str>) -> String {
    if let Some(codes) = paragraph.strip_prefix("Exit codes: ") {
        return format!(".SH \"EXIT STATUS\"\n{codes}\n");
    }
    let Some((said, lines)) = paragraph.split_once(":\n") else {
        return format!("{}\n{paragraph}\n", notes.next().unwrap_or_default());
    };
    let heading = match said {
        "Exit codes" => ".SH \"EXIT STATUS\"".to_owned(),
        title if title.split(' ').count() <= 2 => format!(".SH \"{}\"", title.to_uppercase()),
        words => format!("{}\n{words}:", notes.next().unwrap_or_default()),
    };
    format!("{heading}\n.nf\n{lines}\n.fi\n")
}
