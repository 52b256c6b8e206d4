//! What may be spent at providers in a day and a month. What a call may cost at most is held back before it, and what it did cost
//! is booked after it, so that calls at the same time do not pass the limit together. Days and months are those of UTC.

use parking_lot::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::warn;

use crate::provider::price::{Limits, Money};
use crate::store::spending::{Spending, Spent};

const DAY: Duration = Duration::from_hours(24);

/// One limit on spending, and what was spent.
#[derive(Debug)]
pub(super) struct SpendLimit {
    /// Under which it is kept on disk.
    name: String,
    held: Mutex<SpendReservation>,
}

#[derive(Debug, Default)]
struct SpendReservation {
    limits: Limits,
    spent: Spent,
    /// For calls under way.
    back: Money,
    disk: Option<Spending>,
}

impl SpendLimit {
    pub(super) fn new(name: String, limits: Limits) -> Self {
        Self {
            name,
            held: Mutex::new(SpendReservation {
                limits,
                ..SpendReservation::default()
            }),
        }
    }

    fn held(&self) -> MutexGuard<'_, SpendReservation> {
        self.held.lock()
    }

    /// From now on these are the limits; what was spent is spent.
    pub(super) fn limit(&self, limits: Limits) {
        self.held().limits = limits;
    }

    /// Goes on with what was spent before, and keeps it there from now on; in memory alone where there is no disk.
    pub(super) fn keep_in(&self, disk: Option<&Spending>) {
        let mut held = self.held();
        match disk.map(|disk| disk.read(&self.name)) {
            Some(Ok(Some(before))) => held.remember(before),
            Some(Err(error)) => {
                warn!(%error, "what was spent before cannot be read: it is counted anew");
            }
            Some(Ok(None)) | None => {}
        }
        held.disk = disk.cloned();
    }

    /// Holds back what a call may cost, or tells after what time there is something to spend again.
    pub(super) fn hold(&self, cost: Money, at: SystemTime) -> Result<(), Duration> {
        let mut held = self.held();
        let date = CivilDate::of(at);
        held.roll(date);
        let fits = |spent: u64, limit: Option<Money>| {
            limit.is_none_or(|limit| Money(spent) + held.back + cost <= limit)
        };
        if !fits(held.spent.this_month, held.limits.per_month) {
            return Err(date.left_of_month);
        }
        if !fits(held.spent.today, held.limits.per_day) {
            return Err(date.left_of_day);
        }
        held.back += cost;
        Ok(())
    }

    /// A call has ended: it cost so much.
    pub(super) fn settle(&self, held_back: Money, cost: Money, at: SystemTime) {
        let mut held = self.held();
        held.back = Money(held.back.0.saturating_sub(held_back.0));
        held.roll(CivilDate::of(at));
        if cost == Money(0) {
            return;
        }
        held.spent.today = held.spent.today.saturating_add(cost.0);
        held.spent.this_month = held.spent.this_month.saturating_add(cost.0);
        if let Some(Err(error)) = held
            .disk
            .as_ref()
            .map(|disk| disk.write(&self.name, held.spent))
        {
            warn!(%error, "what was spent cannot be kept");
        }
    }

    /// What was spent today and this month.
    pub(super) fn spent(&self, at: SystemTime) -> (Money, Money) {
        let mut held = self.held();
        held.roll(CivilDate::of(at));
        (Money(held.spent.today), Money(held.spent.this_month))
    }
}

impl SpendReservation {
    /// What was spent before the start, or since by this process: whichever is newer, or more.
    fn remember(&mut self, before: Spent) {
        let now = self.spent;
        let (day, today) = (now.day, now.today).max((before.day, before.today));
        let (month, this_month) =
            (now.month, now.this_month).max((before.month, before.this_month));
        self.spent = Spent {
            day,
            today,
            month,
            this_month,
        };
    }

    /// A new day, or month, begins with nothing spent. A clock that goes back begins none.
    fn roll(&mut self, date: CivilDate) {
        if date.day > self.spent.day {
            (self.spent.day, self.spent.today) = (date.day, 0);
        }
        if date.month > self.spent.month {
            (self.spent.month, self.spent.this_month) = (date.month, 0);
        }
    }
}

/// A moment as purses see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CivilDate {
    /// Since 1970.
    day: u32,
    /// Since 1970.
    month: u32,
    left_of_day: Duration,
    left_of_month: Duration,
}

impl CivilDate {
    fn of(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let day = u32::try_from(since.as_secs() / DAY.as_secs()).unwrap_or(u32::MAX);
        let left_of_day = DAY.saturating_sub(Duration::from_secs(since.as_secs() % DAY.as_secs()));
        let (month, next) = month_of(day);
        Self {
            day,
            month,
            left_of_day,
            left_of_month: left_of_day + DAY * next.saturating_sub(day + 1),
        }
    }
}

/// The month of a day, and the first day of the next one, all since 1970.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`; March is its first month.
fn month_of(day: u32) -> (u32, u32) {
    let shifted = u64::from(day) + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let first = |month: u64| (153 * month + 2) / 5;
    // February, the last month of such a year, ends where the next year begins.
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let next_of_year = if month == 11 {
        if leap(year_of_era + 1) { 366 } else { 365 }
    } else {
        first(month + 1)
    };
    let since_march = (era * 400 + year_of_era) * 12 + month;
    let to = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    (
        to(since_march + 2 - 1970 * 12),
        to(u64::from(day) + next_of_year - of_year),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noon of a day since 1970.
    fn noon(day: u64) -> SystemTime {
        UNIX_EPOCH + DAY * u32::try_from(day).unwrap() + DAY / 2
    }

    fn purse(per_day: Option<u64>, per_month: Option<u64>) -> SpendLimit {
        SpendLimit::new(
            "all".to_owned(),
            Limits {
                per_day: per_day.map(Money),
                per_month: per_month.map(Money),
            },
        )
    }

    #[test]
    fn months_begin_where_the_calendar_says() {
        // 1970-01-01, 2000-02-28, 2000-02-29, 2000-03-01, 2026-11-24, 2026-12-31, 2027-02-28, 2100-02-28
        for (day, month, left) in [
            (0, 0, 31),
            (11_015, 361, 2),
            (11_016, 361, 1),
            (11_017, 362, 31),
            (20_781, 682, 7),
            (20_818, 683, 1),
            (20_877, 685, 1),
            (47_540, 1561, 1),
        ] {
            assert_eq!(month_of(day), (month, day + left), "day {day}");
        }
    }

    #[test]
    fn a_day_is_spent_until_midnight_and_a_month_until_its_end() {
        let purse = purse(Some(100), Some(150));
        purse.hold(Money(60), noon(20_781)).unwrap();
        assert_eq!(
            purse.hold(Money(60), noon(20_781)),
            Err(DAY / 2),
            "what is held back counts"
        );
        purse.settle(Money(60), Money(90), noon(20_781));
        assert_eq!(purse.hold(Money(20), noon(20_781)), Err(DAY / 2));
        purse.hold(Money(20), noon(20_782)).unwrap();
        purse.settle(Money(20), Money(60), noon(20_782));
        assert_eq!(
            purse.hold(Money(1), noon(20_782)),
            Err(DAY / 2 + DAY * 5),
            "the 25th of November"
        );
        assert_eq!(purse.spent(noon(20_782)), (Money(60), Money(150)));
        purse.hold(Money(100), noon(20_788)).unwrap();
        assert_eq!(purse.spent(noon(20_788)), (Money(0), Money(0)));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_back() {
        let purse = purse(Some(100), None);
        purse.hold(Money(100), noon(20_781)).unwrap();
        purse.settle(Money(100), Money(100), noon(20_781));
        assert!(purse.hold(Money(1), noon(20_700)).is_err());
    }

    #[test]
    fn without_limits_it_only_counts() {
        let purse = purse(None, None);
        purse.hold(Money(u64::MAX), noon(1)).unwrap();
        purse.settle(Money(u64::MAX), Money(5), noon(1));
        assert_eq!(purse.spent(noon(1)).0, Money(5));
    }
}
