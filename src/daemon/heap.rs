//! Free memory of the heap, given back to the system after a load.
//!
//! glibc keeps freed memory, except at the end of its heap: after a flood of commands, or a home of
//! thousands of devices, the program would take tens of megabytes for ever.

/// Commands within a minute that are a load.
const LOAD: u64 = 1_000;

/// Minutes after a load in which commands are still forgotten.
const MINUTES: u8 = 3;

/// When memory is given back: each time is a pass over the free parts of the heap, so an idle
/// program does without.
#[derive(Debug)]
pub(super) struct HeapTrim {
    /// Commands received until the last minute began.
    commands: u64,
    /// How often memory is still given back, once a minute.
    left: u8,
}

impl HeapTrim {
    /// Once after the start, which reads configuration and vocabulary.
    pub(super) fn new() -> Self {
        Self {
            commands: 0,
            left: 1,
        }
    }

    /// Notes work that leaves free memory behind.
    pub(super) fn note_load(&mut self) {
        self.left = MINUTES;
    }

    /// Gives memory back after a load; to be called once a minute with the number of commands
    /// received so far. Returns whether it did.
    pub(super) fn on_minute(&mut self, commands: u64) -> bool {
        if commands.saturating_sub(self.commands) >= LOAD {
            self.note_load();
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

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the C library has the heap")]
fn give_back() {
    // SAFETY: it takes no pointer, and glibc locks the heap against its other functions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other C libraries give memory back by themselves, or cannot.
#[cfg(not(target_env = "gnu"))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_after_the_start_and_after_a_load_alone() {
        let mut trim = HeapTrim::new();
        let minutes = [0, 10, 5_000, 5_001, 5_002, 5_003, 5_900];
        let given_back = minutes.map(|commands| trim.on_minute(commands));
        assert_eq!(given_back, [true, false, true, true, true, false, false]);
        trim.note_load();
        assert!(trim.on_minute(5_900));
    }
}
