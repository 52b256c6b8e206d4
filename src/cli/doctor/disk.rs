//! Where the store lies: whether it can be written, how much room there is, and how the disk is. The store itself is not
//! opened: it belongs to the daemon, and what root writes into it the daemon could not read.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};

use crate::config::{Config, units};

use crate::cli::doctor::finding::Report;

/// Less room than this, in bytes, and the store cannot even be begun.
const TOO_LITTLE: u64 = 4 << 20;

/// Less room than this will not last.
const LITTLE: u64 = 64 << 20;

/// Where the kernel tells of devices and file systems.
const SYS: &str = "/sys";

/// Looks at the store and the disk below it. True where a daemon on this machine holds the store.
pub(super) fn look(config: &Config, report: &mut Report) -> Option<bool> {
    let Some(path) = config.store.path.as_deref() else {
        let todo =
            "under systemd `StateDirectory=` gives one; else name a folder with `store.path`";
        report.warn(
            "store",
            "no store: a command under way is lost with the process",
            todo,
        );
        return None;
    };
    // Under systemd it is below a folder of root's own: that this user may not look is no fault of the store.
    if !rustix::process::geteuid().is_root() && denied(path) {
        report.warn(
            "store",
            format!("only root may look at the store in `{}`", path.display()),
            "sudo sayso doctor",
        );
        return None;
    }
    let held = store(path, report);
    // The daemon makes what is missing.
    let there = path
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("."));
    if writable(there, report) {
        room(there, report);
    }
    wear(there, Path::new(SYS), report);
    held
}

fn denied(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

fn store(path: &Path, report: &mut Report) -> Option<bool> {
    aside(path, report);
    let shown = path.display();
    let held = match File::open(path.join("db")) {
        Ok(file) => matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            report.ok(
                "store",
                format!("none yet in `{shown}`: the daemon begins one"),
            );
            return Some(false);
        }
        Err(error) => {
            report.fault(
                "store",
                format!("the store in `{shown}` cannot be read: {error}"),
                "run this as root; if you do, mend its owner: it is the user the daemon runs as",
            );
            return None;
        }
    };
    let size = size(path);
    if held {
        report.ok(
            "store",
            format!(
                "`{shown}`, {}, in use by the running daemon",
                units::show_size(size)
            ),
        );
    } else {
        report.ok(
            "store",
            format!("`{shown}`, {}, in use by nobody", units::show_size(size)),
        );
    }
    Some(held)
}

/// Stores that could not be read were put aside under another name, and nobody takes them away.
fn aside(path: &Path, report: &mut Report) {
    let beside = path.parent().unwrap_or(Path::new("."));
    let begins = format!(
        "{}.broken-",
        path.file_name().unwrap_or_default().to_string_lossy()
    );
    let broken: Vec<PathBuf> = fs::read_dir(beside)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let broken = broken.iter().filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&begins))
    });
    let names: Vec<String> = broken.map(|path| path.display().to_string()).collect();
    if !names.is_empty() {
        let found = format!(
            "a store could not be read and was put aside: {}",
            names.join(", ")
        );
        report.warn("store", found, "a power cut, or a card that dies: see the disk below; delete what was put aside once you know why");
    }
}

fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|entry| {
            Some(if entry.file_type().ok()?.is_dir() {
                size(&entry.path())
            } else {
                entry.metadata().ok()?.len()
            })
        })
        .sum()
}

fn writable(there: &Path, report: &mut Report) -> bool {
    let shown = there.display();
    let read_only =
        statvfs(there).is_ok_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY));
    if read_only {
        let todo = "a card that dies is made so by the kernel (`dmesg | grep -i error`): replace it; else remount it, or move `store.path`";
        report.fault(
            "disk",
            format!("the disk under `{shown}` is read-only: nothing can be kept"),
            todo,
        );
    } else if access(there, Access::WRITE_OK).is_err() {
        report.fault(
            "disk",
            format!("`{shown}` may not be written"),
            "give it to the user the daemon runs as (chown), or run this as that user",
        );
        return false;
    }
    !read_only
}

fn room(there: &Path, report: &mut Report) {
    let Ok(disk) = statvfs(there) else { return };
    let (free, shown) = (disk.f_bavail.saturating_mul(disk.f_frsize), there.display());
    if disk.f_blocks == 0 {
        // No disk, or one that does not tell its size: only trying shows which.
        match try_out(there) {
            Ok(()) => report.ok(
                "disk",
                format!("`{shown}` can be written; it does not tell how much room is left"),
            ),
            Err(error) => {
                let todo = "it is no folder of a disk: name another with `store.path`";
                report.fault(
                    "disk",
                    format!("nothing can be written in `{shown}`: {error}"),
                    todo,
                );
            }
        }
    } else if disk.f_files > 0 && disk.f_favail == 0 {
        report.fault(
            "disk",
            format!("the disk under `{shown}` takes no more files"),
            "delete some (many small ones), or move `store.path`",
        );
    } else if free < TOO_LITTLE {
        report.fault(
            "disk",
            format!(
                "the disk under `{shown}` is full: {} left",
                units::show_size(free)
            ),
            "free some (`journalctl --vacuum-size=50M`, `apt clean`), or move `store.path`",
        );
    } else if free < LITTLE {
        report.warn(
            "disk",
            format!(
                "the disk under `{shown}` is nearly full: {} left",
                units::show_size(free)
            ),
            "free some: `journalctl --vacuum-size=50M`, `apt clean`",
        );
    } else {
        report.ok(
            "disk",
            format!("`{shown}` can be written, {} MiB left", free >> 20),
        );
    }
}

/// Makes a file of a name nobody has, and takes it away.
fn try_out(there: &Path) -> std::io::Result<()> {
    let path = there.join(format!(".sayso-doctor-{:08x}", rand::random::<u32>()));
    File::create_new(&path)?;
    fs::remove_file(path)
}

/// What the kernel knows of the disk's health. SD cards do not tell theirs; eMMC does, and ext4 counts its errors.
fn wear(there: &Path, sys: &Path, report: &mut Report) {
    let Ok(stat) = rustix::fs::stat(there) else {
        return;
    };
    let (major, minor) = (
        rustix::fs::major(stat.st_dev),
        rustix::fs::minor(stat.st_dev),
    );
    let Ok(device) = fs::canonicalize(sys.join(format!("dev/block/{major}:{minor}"))) else {
        return;
    };
    let Some(name) = device
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
    else {
        return;
    };
    worn(&device, &name, sys, report);
}

fn worn(device: &Path, name: &str, sys: &Path, report: &mut Report) {
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    if let Some(errors @ 1..) = number(sys.join(format!("fs/ext4/{name}/errors_count"))) {
        report.fault(
            "disk",
            format!("the file system on {name} has had {errors} errors"),
            format!("copy what matters, then `fsck /dev/{name}` from another system; replace the card if it comes again"),
        );
    }
    // A partition lies below its disk.
    let lives = [
        device.join("device/life_time"),
        device.join("../device/life_time"),
    ];
    let Some(told) = lives.iter().find_map(|path| fs::read_to_string(path).ok()) else {
        return;
    };
    // Two estimates in tenths of its life, 0x0b beyond it (JEDEC eMMC 5.0, DEVICE_LIFE_TIME_EST).
    let worst = told
        .split_whitespace()
        .filter_map(|tenth| u32::from_str_radix(tenth.trim_start_matches("0x"), 16).ok())
        .max()
        .unwrap_or_default();
    if worst >= 10 {
        report.fault(
            "disk",
            format!("{name} has used up its life"),
            "replace it before it goes read-only",
        );
    } else if worst >= 8 {
        report.warn(
            "disk",
            format!("{name} has used some {} % of its life", worst * 10),
            "have another one ready",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(life: &str, errors: &str) -> String {
        let sys = tempfile::tempdir().unwrap();
        let device = sys.path().join("block/mmcblk0/mmcblk0p2");
        fs::create_dir_all(&device).unwrap();
        fs::create_dir_all(device.join("../device")).unwrap();
        fs::create_dir_all(sys.path().join("fs/ext4/mmcblk0p2")).unwrap();
        fs::write(device.join("../device/life_time"), life).unwrap();
        fs::write(sys.path().join("fs/ext4/mmcblk0p2/errors_count"), errors).unwrap();
        let mut report = Report::default();
        worn(&device, "mmcblk0p2", sys.path(), &mut report);
        report.json()["findings"].to_string()
    }

    #[test]
    fn what_is_no_disk_is_not_called_full() {
        let said = |there: &str| {
            let mut report = Report::default();
            room(Path::new(there), &mut report);
            report.json()["findings"].to_string()
        };
        assert!(
            said("/proc").contains("nothing can be written in `/proc`"),
            "{}",
            said("/proc")
        );
        assert!(!said("/proc").contains("full"));
    }

    #[test]
    fn a_worn_disk_and_one_with_errors_are_told() {
        assert_eq!(found("0x01 0x02\n", "0\n"), "[]");
        assert!(found("0x01 0x09\n", "0\n").contains("90 % of its life"));
        assert!(found("0x0b 0x01\n", "0\n").contains("used up its life"));
        assert!(found("0x01 0x01\n", "3\n").contains("has had 3 errors"));
    }
}
