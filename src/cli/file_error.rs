//! Errors of files that are named on the command line: the failure, its place, and the remedy.

use std::io;
use std::path::Path;

use crate::cli::exit::{Exit, Failure};

/// Returns why a file cannot be read, and what to do.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file, correct the path".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "you may not do that: run this as root (sudo), or as the owner of the file".to_owned()
        }
        io::ErrorKind::IsADirectory => "it is a folder, name a file in it".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text, save it as UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// Returns the error of a file that a subcommand reads; `option` named it.
pub(super) fn unreadable(option: &str, path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    let what = match error.kind() {
        io::ErrorKind::NotFound => {
            format!("{option}: there is no file `{shown}`: correct the path, or create the file")
        }
        io::ErrorKind::PermissionDenied => format!(
            "{option}: `{shown}` may not be read: run this as root (sudo), or as the owner of the \
             file"
        ),
        _ => format!("{option}: `{shown}`: {error}"),
    };
    Failure::new(exit_of(error), what)
}

/// Returns the error of a file or folder that a subcommand writes.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    let cure = match error.kind() {
        io::ErrorKind::NotFound => "its folder does not exist: create it, or name another one",
        io::ErrorKind::AlreadyExists => "it exists: name another one, or remove it",
        io::ErrorKind::PermissionDenied => {
            "you may not write there: run this as root (sudo), or name another folder"
        }
        io::ErrorKind::NotADirectory => "a part of the path is a file and no folder: correct it",
        io::ErrorKind::IsADirectory => "it is a folder: name a file in it",
        io::ErrorKind::StorageFull => "the disk is full: free some space",
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only: name another folder",
        _ => {
            return Failure::new(
                exit_of(error),
                format!("`{shown}` cannot be written: {error}"),
            );
        }
    };
    Failure::new(
        exit_of(error),
        format!("`{shown}` cannot be written: {cure}"),
    )
}

fn exit_of(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::Forbidden,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_file_says_what_to_do_and_no_number() {
        for kind in [
            io::ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::IsADirectory,
        ] {
            let failure = unwritable(Path::new("a.tar"), &kind.into());
            let text = failure.error.to_string();
            assert!(text.starts_with("`a.tar` cannot be written: "), "{text}");
            assert!(!text.contains("os error"), "{text}");
        }
        let missing = io::Error::from_raw_os_error(2);
        let failure = unreadable("--password-file", Path::new("p"), &missing);
        assert_eq!(
            failure.error.to_string(),
            "--password-file: there is no file `p`: correct the path, or create the file"
        );
    }
}
