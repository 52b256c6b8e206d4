//! Generator of the manual pages and shell completions of the package.
//! `cargo run -p sayso-pages -- FOLDER`

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap_complete::Shell;

mod config;

/// Documented config files: name and title of the page, and text of the file.
const CONFIGS: [(&str, &str, &str); 2] = [
    (
        "sayso.toml",
        "configuration of sayso",
        include_str!("../../config/sayso.toml"),
    ),
    (
        "sayso-home.toml",
        "areas and devices of sayso",
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
        clap_complete::generate_to(shell, &mut sayso::testing::cli::line(), "sayso", &folder)?;
    }
    Ok(())
}

/// Writes `sayso.1` and a page for each subcommand, also for nested ones.
fn commands(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut line = sayso::testing::cli::line();
    line.build();
    write_pages(&line, "sayso", folder)
}

/// Writes the page of a command, then those of its subcommands.
fn write_pages(command: &clap::Command, name: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::write(folder.join(format!("{name}.1")), page(command, name)?)?;
    for below in subcommands(command) {
        write_pages(below, &format!("{name}-{}", below.get_name()), folder)?;
    }
    Ok(())
}

/// Returns the subcommands, without the generated `help`.
fn subcommands(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command
        .get_subcommands()
        .filter(|below| below.get_name() != "help")
}

fn page(command: &clap::Command, name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let shown = command
        .clone()
        .mut_subcommands(|below| {
            let is_help = below.get_name() == "help";
            below.hide(is_help)
        })
        .after_help(Resettable::Reset);
    let man = clap_mangen::Man::new(shown)
        .title(name)
        .source(format!("sayso {}", env!("CARGO_PKG_VERSION")))
        .manual("sayso");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.extend(synopsis(command, name).into_bytes());
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if subcommands(command).next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend(sections(&help).into_bytes());
    page.extend(BUGS.as_bytes());
    page.extend(see_also(command, name).into_bytes());
    Ok(page)
}

/// Address for reports, as in SECURITY.md.
const BUGS: &str = ".SH BUGS\nReports need the output of\n.BR \"sayso bundle\" .\n.SH AUTHORS\nThe sayso authors.\n";

/// Returns the synopsis with the values of all options.
fn synopsis(command: &clap::Command, name: &str) -> String {
    let mut words = vec![name.replacen('-', " ", 2)];
    if subcommands(command).next().is_some() {
        words.push("COMMAND".to_owned());
    }
    for argument in command
        .get_arguments()
        .filter(|a| !matches!(a.get_id().as_str(), "help"))
    {
        let values: Vec<String> = argument
            .get_value_names()
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect();
        let value = values.join(" ");
        let takes_value = argument.get_action().takes_values();
        words.push(match argument.get_long() {
            Some(long) if takes_value => format!("[--{long} {value}]"),
            Some(long) => format!("[--{long}]"),
            None => format!("[{value}]"),
        });
    }
    format!(".SH SYNOPSIS\n{}\n", words.join(" ").replace('-', "\\-"))
}

/// Returns the section with the pages above, beside and below this one.
fn see_also(command: &clap::Command, name: &str) -> String {
    let mut pages: Vec<String> = Vec::new();
    if name != "sayso" {
        pages.push("sayso (1)".to_owned());
    }
    pages.extend(subcommands(command).map(|below| format!("{name}-{} (1)", below.get_name())));
    pages.extend(
        [
            "sayso.toml (5)",
            "sayso-home.toml (5)",
            "mosquitto (8)",
            "journalctl (1)",
        ]
        .map(str::to_owned),
    );
    let lines: Vec<String> = pages
        .iter()
        .map(|page| format!(".BR {}", page.replace('-', "\\-")))
        .collect();
    format!(".SH \"SEE ALSO\"\n{}\n", lines.join(",\n"))
}

/// Returns the text below the options of `--help` as sections: a short title with lines below it becomes a section, the rest are
/// notes.
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
    let Some((title, lines)) = paragraph.split_once(":\n") else {
        return format!("{}\n{paragraph}\n", notes.next().unwrap_or_default());
    };
    let heading = match title {
        "Exit codes" => ".SH \"EXIT STATUS\"".to_owned(),
        title if title.split(' ').count() <= 2 => format!(".SH \"{}\"", title.to_uppercase()),
        words => format!("{}\n{words}:", notes.next().unwrap_or_default()),
    };
    format!("{heading}\n.nf\n{lines}\n.fi\n")
}
