//! Limits glibc's heap, and gives memory back to the system after the start and after a load.
//!
//! glibc keeps freed memory, except at the end of its heap: after a flood of commands, or a home of
//! thousands of devices, the program would take tens of megabytes for ever. And the code that reads
//! configuration and vocabulary stays mapped, although it does not run again.

use std::time::{Duration, Instant};

/// Commands within a minute that are a load.
const LOAD: u64 = 1_000;

/// Minutes after a load in which commands are still forgotten.
const MINUTES: u8 = 3;

/// Pause between the last change of the home and the release of memory: at the start the devices
/// are announced one after the other.
const SETTLED: Duration = Duration::from_secs(3);

/// Schedule for giving memory back. An idle program does not do so: each time is a pass over the
/// free parts of the heap, and the code that runs next has to be mapped again.
#[derive(Debug)]
pub(super) struct MemoryRelease {
    /// Commands received until the last minute began.
    commands: u64,
    /// Number of times memory is still given back, once a minute.
    left: u8,
    /// Time at which memory is given back after the start or a change of the home.
    due: Option<Instant>,
}

impl MemoryRelease {
    /// Creates the schedule with one first trim soon after the start, which reads configuration and
    /// vocabulary and leaves free memory behind.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            commands: 0,
            left: 0,
            due: Some(now + SETTLED),
        }
    }

    /// Notes a new home, whose making leaves free memory behind.
    pub(super) fn note_home(&mut self, now: Instant) {
        self.due = Some(now + SETTLED);
    }

    /// Returns when memory is to be given back after the start or a change of the home.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Gives memory back because the time has come.
    pub(super) fn on_due(&mut self) {
        self.due = None;
        give_back();
    }

    /// Gives memory back after a load; to be called once a minute with the number of commands
    /// received so far. Returns whether it did.
    pub(super) fn on_minute(&mut self, commands: u64) -> bool {
        if commands.saturating_sub(self.commands) >= LOAD {
            self.left = MINUTES;
        }
        self.commands = commands;
        let is_due = self.left > 0;
        if is_due {
            self.left -= 1;
            give_back();
        }
        is_due
    }
}

/// Sets the limits of glibc's heap, except those that the environment sets; to be called while the
/// program has one thread.
///
/// One heap is enough, because one thread works and the others wait for the disk. And the limits
/// stay as they are: glibc would raise them with each large block that is freed, such as the write
/// buffers of the store, and then keep these blocks.
pub(crate) fn limit_heap() {
    #[cfg(target_env = "gnu")]
    {
        set_limit("MALLOC_ARENA_MAX", libc::M_ARENA_MAX, 1);
        set_limit("MALLOC_TRIM_THRESHOLD_", libc::M_TRIM_THRESHOLD, 128 << 10);
        set_limit("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the C library has the heap")]
fn set_limit(variable: &str, limit: libc::c_int, value: libc::c_int) {
    if std::env::var_os(variable).is_none() {
        // SAFETY: it takes no pointer, and glibc locks the heap against its other functions.
        unsafe {
            libc::mallopt(limit, value);
        }
    }
}

fn give_back() {
    #[cfg(target_env = "gnu")]
    trim_heap();
    #[cfg(target_os = "linux")]
    code::unmap();
}

/// Returns free memory of the heap to the kernel. Other C libraries do so by themselves, or have no
/// function for it.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the C library has the heap")]
fn trim_heap() {
    // SAFETY: it takes no pointer, and glibc locks the heap against its other functions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The code and constants of the program, as the loader mapped them.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "only the loader knows the addresses")]
mod code {
    use std::ffi::c_void;
    use std::slice;

    #[cfg(target_pointer_width = "32")]
    use libc::Elf32_Phdr as ProgramHeader;
    #[cfg(target_pointer_width = "64")]
    use libc::Elf64_Phdr as ProgramHeader;
    use libc::{c_int, dl_phdr_info, size_t};

    /// Unmaps code and constants. Pages that are used again are mapped again from the page cache;
    /// those that the kernel has dropped from it meanwhile are read from the file.
    pub(super) fn unmap() {
        // SAFETY: the function is called before this returns, and does not panic.
        unsafe {
            libc::dl_iterate_phdr(Some(unmap_object), std::ptr::null_mut());
        }
    }

    /// Unmaps the parts of the first object, the program itself, and ends the iteration.
    unsafe extern "C" fn unmap_object(
        object: *mut dl_phdr_info,
        _size: size_t,
        _data: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes a valid object, with as many headers as it states.
        let (base, headers) = unsafe {
            let object = &*object;
            let headers = slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into());
            (usize::try_from(object.dlpi_addr), headers)
        };
        let page = rustix::param::page_size();
        let read_only = headers.iter().filter(|header| is_read_only(header));
        for header in read_only {
            let parts = (base, header.p_vaddr.try_into(), header.p_filesz.try_into());
            if let (Ok(base), Ok::<usize, _>(offset), Ok::<usize, _>(length)) = parts {
                let begin = (base + offset).next_multiple_of(page);
                let end = (base + offset + length) / page * page;
                // SAFETY: these whole pages are mapped from the file of the program, and were never
                // writable. Should the call fail, they stay mapped.
                unsafe {
                    libc::madvise(
                        begin as *mut c_void,
                        end.saturating_sub(begin),
                        libc::MADV_DONTNEED,
                    );
                }
            }
        }
        1
    }

    /// Returns whether a part of the program is the same in memory as in its file.
    fn is_read_only(header: &ProgramHeader) -> bool {
        header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn memory_is_given_back_after_a_load_alone() {
        let mut release = MemoryRelease::new(now());
        let minutes = [0, 10, 5_000, 5_001, 5_002, 5_003, 5_900];
        let given_back = minutes.map(|commands| release.on_minute(commands));
        assert_eq!(given_back, [false, false, true, true, true, false, false]);
    }

    #[test]
    fn memory_is_given_back_once_after_the_start_and_the_last_change_of_the_home() {
        let start = now();
        let mut release = MemoryRelease::new(start);
        assert_eq!(release.due(), Some(start + SETTLED));
        release.on_due();
        assert_eq!(release.due(), None);
        release.note_home(start);
        release.note_home(start + Duration::from_secs(1));
        assert_eq!(
            release.due(),
            Some(start + Duration::from_secs(1) + SETTLED)
        );
        release.on_due();
        assert_eq!(release.due(), None);
    }

    /// Returns the resident kilobytes that are mapped from files.
    #[cfg(target_os = "linux")]
    fn mapped_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssFile:"));
        let value = line.unwrap().split_whitespace().nth(1).unwrap();
        value.parse().unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn code_is_unmapped_and_runs_on() {
        let before = mapped_kib();
        give_back();
        let after = mapped_kib();
        assert!(after < before, "{before} KiB, then {after} KiB");
    }
}
