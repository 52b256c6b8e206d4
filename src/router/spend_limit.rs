//! Spending limits per day and month. The most a call may cost is reserved before it and replaced
//! by its cost after it, so that parallel calls do not exceed the limit together. Days and months
//! are those of UTC.
//!
//! A new day or month begins only where time has really passed: a clock that is set forward frees
//! nothing, and one that is set back locks nothing for longer than to the next midnight.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use parking_lot::{Mutex, MutexGuard};
use tracing::warn;

use crate::clock;
use crate::provider::price::{Limits, Money};
use crate::redis::{AccountReport, AccountTotals, OFFLINE_SPEND_DIVISOR, SharedVerdict};
use crate::store::spending::{Spending, Spent};

/// Difference by which the wall clock and the uptime may drift apart before the clock counts as
/// set.
const CLOCK_SET: SignedDuration = SignedDuration::from_mins(5);

/// One moment by both clocks: the wall clock, which may be set, and the time since boot, which may
/// not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    wall: Timestamp,
    uptime: Duration,
}

impl Moment {
    /// Returns the present moment.
    pub(super) fn now() -> Self {
        Self {
            wall: Timestamp::try_from(clock::wall()).unwrap_or(Timestamp::UNIX_EPOCH),
            uptime: clock::uptime(),
        }
    }

    fn date(self) -> civil::Date {
        self.wall
            .max(Timestamp::UNIX_EPOCH)
            .to_zoned(TimeZone::UTC)
            .date()
    }

    /// Returns the number of days since 1970, in UTC.
    fn day(self) -> u32 {
        let since = self.date().duration_since(civil::date(1970, 1, 1));
        u32::try_from(since.as_hours() / 24).unwrap_or_default()
    }

    /// Returns the number of months since 1970, in UTC.
    fn month(self) -> u32 {
        let date = self.date();
        let months = (i32::from(date.year()) - 1970) * 12 + i32::from(date.month()) - 1;
        u32::try_from(months).unwrap_or_default()
    }

    fn until(self, date: Result<civil::Date, jiff::Error>) -> Duration {
        let midnight = date
            .and_then(|date| date.to_zoned(TimeZone::UTC))
            .map_or(self.wall, |zoned| zoned.timestamp());
        Duration::try_from(midnight.duration_since(self.wall)).unwrap_or_default()
    }

    pub(super) fn until_tomorrow(self) -> Duration {
        self.until(self.date().tomorrow())
    }

    pub(super) fn until_next_month(self) -> Duration {
        self.until(self.date().last_of_month().tomorrow())
    }

    /// Returns whether the wall clock was set between `earlier` and this moment.
    fn was_set_since(self, earlier: Self) -> bool {
        let wall = self.wall.duration_since(earlier.wall);
        let passed = SignedDuration::try_from(self.uptime.saturating_sub(earlier.uptime))
            .unwrap_or(SignedDuration::MAX);
        (wall - passed).abs() > CLOCK_SET
    }
}

/// Reasons why a spending limit does not allow a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpendDenial {
    /// The limit is reached; with the time until there is something to spend again.
    Spent(Duration),
    /// Only what calls in flight have reserved stands in the way, most of which they will not use.
    Reserved,
}

/// One spending limit and the money spent.
#[derive(Debug)]
pub(super) struct SpendLimit {
    /// The key under which it is kept on disk.
    name: String,
    account: Mutex<Account>,
}

#[derive(Debug, Default)]
struct Account {
    limits: Limits,
    spent: Spent,
    /// The sum reserved for calls in flight.
    reserved: Money,
    /// Totals of all nodes, as Redis last knew them; in memory only.
    known: Spent,
    /// Whether Redis has reported since the start.
    has_learned: bool,
    /// Time at which the account was last used.
    seen: Option<Moment>,
    /// The uptime at which the present day was first used in this run.
    day_began: Option<Duration>,
    disk: Option<Spending>,
}

impl SpendLimit {
    pub(super) fn new(name: String, limits: Limits) -> Self {
        Self {
            name,
            account: Mutex::new(Account {
                limits,
                ..Account::default()
            }),
        }
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock()
    }

    /// Changes the limits; the money spent stays.
    pub(super) fn set_limits(&self, limits: Limits) {
        self.account().limits = limits;
    }

    /// Adds the money spent before the start, and keeps the account on disk from now on; in memory
    /// where there is no disk.
    pub(super) fn keep_in(&self, disk: Option<&Spending>) {
        let mut account = self.account();
        match disk.map(|disk| disk.read(&self.name)) {
            Some(Ok(Some(before))) => account.restore(before),
            Some(Err(error)) => {
                warn!(%error, "spending of earlier runs cannot be read, it is counted from zero");
            }
            Some(Ok(None)) | None => {}
        }
        account.disk = disk.cloned();
    }

    /// Reserves the most a call may cost.
    ///
    /// # Errors
    /// Why it may not be made.
    pub(super) fn reserve(&self, cost: Money, now: Moment) -> Result<(), SpendDenial> {
        let mut account = self.account();
        account.advance(now);
        let Limits { per_day, per_month } = account.limits;
        account.check([per_day, per_month], (account.reserved, cost), now)?;
        account.reserved += cost;
        Ok(())
    }

    /// Replaces a reservation by the cost of the call.
    pub(super) fn commit(&self, reserved: Money, cost: Money, now: Moment) {
        let mut account = self.account();
        account.reserved = Money(account.reserved.0.saturating_sub(reserved.0));
        account.advance(now);
        if cost == Money(0) {
            return;
        }
        account.spent.today = account.spent.today.saturating_add(cost.0);
        account.spent.this_month = account.spent.this_month.saturating_add(cost.0);
        let Some(disk) = &account.disk else { return };
        if let Err(error) = disk.write(&self.name, account.spent) {
            warn!(%error, "spending cannot be written to disk");
        }
    }

    /// Returns the day and the month as they are reported to Redis.
    pub(super) fn reports(&self, now: Moment) -> [AccountReport; 2] {
        let mut account = self.account();
        account.advance(now);
        let Account {
            limits,
            spent,
            known,
            ..
        } = &*account;
        let day = AccountReport {
            limit: limits.per_day.map(|limit| limit.0),
            period: spent.day,
            spent: spent.today,
            known: if known.day == spent.day {
                known.today
            } else {
                0
            },
        };
        let known_month = known.month == spent.month;
        let month = AccountReport {
            limit: limits.per_month.map(|limit| limit.0),
            period: spent.month,
            spent: spent.this_month,
            known: if known_month { known.this_month } else { 0 },
        };
        [day, month]
    }

    /// Takes over the totals of all nodes in the day and the month of `verdict`. The first time
    /// also the node's own amounts, where Redis knows of more: the store of this node may be new.
    pub(super) fn learn(
        &self,
        verdict: &SharedVerdict,
        [day, month]: [AccountTotals; 2],
        now: Moment,
    ) {
        let mut account = self.account();
        account.advance(now);
        account.known = Spent {
            day: verdict.day,
            today: day.total,
            month: verdict.month,
            this_month: month.total,
        };
        if account.has_learned {
            return;
        }
        account.has_learned = true;
        let spent = &mut account.spent;
        if spent.day == verdict.day {
            spent.today = spent.today.max(day.own);
        }
        if spent.month == verdict.month {
            spent.this_month = spent.this_month.max(month.own);
        }
    }

    /// Checks that this node, with a call of `cost` among its reservations, is within its share of
    /// the limits for the time without Redis.
    ///
    /// # Errors
    /// Why the call may not be made.
    pub(super) fn check_share(
        &self,
        cost: Money,
        nodes: u32,
        now: Moment,
    ) -> Result<(), SpendDenial> {
        let mut account = self.account();
        account.advance(now);
        let share = |limit: Money| match nodes {
            0 | 1 => limit,
            nodes => Money(limit.0 / (OFFLINE_SPEND_DIVISOR * u64::from(nodes))),
        };
        let Limits { per_day, per_month } = account.limits;
        let of_others = Money(account.reserved.0.saturating_sub(cost.0));
        account.check(
            [per_day.map(share), per_month.map(share)],
            (of_others, cost),
            now,
        )
    }

    /// Returns the money spent today and this month.
    pub(super) fn spent(&self, now: Moment) -> (Money, Money) {
        let mut account = self.account();
        account.advance(now);
        (Money(account.spent.today), Money(account.spent.this_month))
    }
}

impl Account {
    /// Checks whether a call of `cost` fits into the limits of the day and the month, beside the
    /// reservations of other calls.
    fn check(
        &self,
        [per_day, per_month]: [Option<Money>; 2],
        (reserved, cost): (Money, Money),
        now: Moment,
    ) -> Result<(), SpendDenial> {
        let fits = |spent: u64, limit: Option<Money>, reserved: Money| {
            limit.is_none_or(|limit| Money(spent) + reserved + cost <= limit)
        };
        let Spent {
            today, this_month, ..
        } = self.spent;
        if !fits(this_month, per_month, Money(0)) {
            return Err(SpendDenial::Spent(now.until_next_month()));
        }
        if !fits(today, per_day, Money(0)) {
            return Err(SpendDenial::Spent(now.until_tomorrow()));
        }
        if !fits(this_month, per_month, reserved) || !fits(today, per_day, reserved) {
            return Err(SpendDenial::Reserved);
        }
        Ok(())
    }

    /// Takes over the spending of an earlier run, or of this one since: whichever is newer, or
    /// more.
    fn restore(&mut self, before: Spent) {
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

    /// Begins a new day or month where one has begun. Where the clock was set, the day gets its new
    /// number and keeps its sum. Before the first use of a run the uptime proves nothing, and only
    /// a clock behind the account counts as set.
    fn advance(&mut self, now: Moment) {
        let was_set = match self.seen {
            Some(seen) => now.was_set_since(seen),
            None => now.day() < self.spent.day,
        };
        self.seen = Some(now);
        let has_spent = self.spent.day > 0 || self.spent.today > 0;
        // However often the clock is set, a day is over when it has lasted a day.
        let began = *self.day_began.get_or_insert(now.uptime);
        let has_lasted = now.uptime.saturating_sub(began) >= Duration::from_hours(24);
        // A clock that is put back a little over midnight does not begin the day twice.
        if now.day() > self.spent.day || was_set || has_lasted {
            if !was_set || !has_spent || has_lasted {
                self.spent.today = 0;
                self.day_began = Some(now.uptime);
            }
            self.spent.day = now.day();
        }
        if now.month() > self.spent.month || was_set {
            if !was_set || !has_spent {
                self.spent.this_month = 0;
            }
            self.spent.month = now.month();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    /// Returns noon of a day since 1970, on a machine whose clock was never set.
    fn noon(day: u32) -> Moment {
        at(day, DAY * day)
    }

    fn at(day: u32, uptime: Duration) -> Moment {
        let seconds = i64::from(day) * 86_400 + 43_200;
        Moment {
            wall: Timestamp::from_second(seconds).unwrap(),
            uptime,
        }
    }

    fn limit(per_day: Option<u64>, per_month: Option<u64>) -> SpendLimit {
        SpendLimit::new(
            "all".to_owned(),
            Limits {
                per_day: per_day.map(Money),
                per_month: per_month.map(Money),
            },
        )
    }

    fn spend(limit: &SpendLimit, cost: u64, now: Moment) -> Result<(), SpendDenial> {
        limit.reserve(Money(cost), now)?;
        limit.commit(Money(cost), Money(cost), now);
        Ok(())
    }

    #[test]
    fn months_end_where_the_calendar_says() {
        // 1970-01-01, 2000-02-28, 2000-02-29, 2000-03-01, 2026-11-24, 2026-12-31, 2027-02-28,
        // 2100-02-28
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
            let noon = noon(day);
            assert_eq!((noon.day(), noon.month()), (day, month));
            assert_eq!(
                noon.until_next_month(),
                (DAY * left).saturating_sub(DAY / 2),
                "day {day}"
            );
            assert_eq!(noon.until_tomorrow(), DAY / 2);
        }
    }

    #[test]
    fn a_day_is_spent_until_midnight_and_a_month_until_its_end() {
        let limit = limit(Some(100), Some(150));
        limit.reserve(Money(60), noon(20_781)).unwrap();
        let second = limit.reserve(Money(60), noon(20_781));
        assert_eq!(second, Err(SpendDenial::Reserved), "a reservation counts");
        limit.commit(Money(60), Money(90), noon(20_781));
        let at_noon = Err(SpendDenial::Spent(DAY / 2));
        assert_eq!(limit.reserve(Money(20), noon(20_781)), at_noon);
        limit.reserve(Money(20), noon(20_782)).unwrap();
        limit.commit(Money(20), Money(60), noon(20_782));
        let third = limit.reserve(Money(1), noon(20_782));
        let month = Err(SpendDenial::Spent(DAY / 2 + DAY * 5));
        assert_eq!(third, month, "the 25th of November");
        assert_eq!(limit.spent(noon(20_782)), (Money(60), Money(150)));
        limit.reserve(Money(100), noon(20_788)).unwrap();
        assert_eq!(limit.spent(noon(20_788)), (Money(0), Money(0)));
    }

    #[test]
    fn a_clock_that_is_set_frees_nothing() {
        let limit = limit(Some(100), None);
        let uptime = DAY * 20_781;
        spend(&limit, 100, at(20_781, uptime)).unwrap();
        for day in [20_700, 20_781, 21_181, 20_781, 0, 20_781] {
            assert!(spend(&limit, 1, at(day, uptime)).is_err(), "day {day}");
        }
    }

    #[test]
    fn a_clock_that_was_ahead_locks_nothing_for_longer_than_to_the_next_midnight() {
        let limit = limit(Some(100), Some(1000));
        let uptime = DAY;
        spend(&limit, 100, at(21_181, uptime)).unwrap();
        assert!(spend(&limit, 1, at(20_781, uptime)).is_err());
        spend(&limit, 100, at(20_782, uptime + DAY)).unwrap();
        assert_eq!(
            limit.spent(at(20_782, uptime + DAY)),
            (Money(100), Money(200))
        );
    }

    #[test]
    fn an_account_from_a_run_whose_clock_was_ahead_is_usable_the_next_day() {
        let limit = limit(Some(100), Some(1000));
        limit.account().restore(Spent {
            day: 21_181,
            today: 100,
            month: 695,
            this_month: 100,
        });
        assert!(spend(&limit, 1, noon(20_781)).is_err());
        spend(&limit, 100, noon(20_782)).unwrap();
        assert_eq!(limit.spent(noon(20_782)).1, Money(200));
    }

    #[test]
    fn a_clock_put_back_a_little_over_midnight_does_not_free_the_day_twice() {
        let limit = limit(Some(100), None);
        let midnight = |minutes: i64| {
            let wall = 20_782 * 86_400 + minutes * 60;
            Moment {
                wall: Timestamp::from_second(wall).unwrap(),
                uptime: DAY * 20_782 + Duration::from_mins(10),
            }
        };
        spend(&limit, 100, midnight(-1)).unwrap();
        spend(&limit, 100, midnight(1)).unwrap();
        for minutes in [-1, 1, -2, 2] {
            assert!(spend(&limit, 1, midnight(minutes)).is_err(), "{minutes}");
        }
    }

    /// The ends of calls in the month: name, how often of a hundred, and the most it costs. A
    /// server that counts other tokens than were estimated costs more than the reservation.
    const ENDS: [(&str, u64, u64); 6] = [
        ("answered", 50, MOST),
        ("answered without token counts", 15, MOST),
        ("cut off", 10, MOST),
        ("abandoned", 10, MOST),
        ("failed before it was billed", 10, 0),
        ("billed more than reserved", 5, MOST + MOST / 3),
    ];

    /// The limit of a day in the month, and the most a call is expected to cost.
    const LIMIT: u64 = 1000;
    const MOST: u64 = 90;

    /// Random numbers, the same in each run.
    struct Dice(u64);

    impl Dice {
        fn draw(&mut self, sides: u64) -> u64 {
            let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
            self.0 = next.wrapping_add(1);
            (self.0 >> 33) % sides
        }

        /// Returns the position of an end of a call in [`ENDS`], and the cost of the call.
        fn end(&mut self) -> (usize, u64) {
            let mut roll = self.draw(100);
            let end = ENDS.iter().position(|(_, share, _)| {
                let is_this = roll < *share;
                roll = roll.saturating_sub(*share);
                is_this
            });
            let end = end.expect("the shares are a hundred");
            let (name, _, most) = ENDS[end];
            match name {
                "answered" | "cut off" => (end, self.draw(most) + 1),
                _ => (end, most),
            }
        }
    }

    /// The figures of the month.
    #[derive(Debug, Default)]
    struct Figures {
        questions: u64,
        denied: u64,
        ends: [u64; ENDS.len()],
        spent: u64,
        breaks: u64,
        worst_overspend: u64,
        longest_lock: u64,
    }

    impl Figures {
        fn print(&self) {
            println!(
                "{} questions in 30 days, {} denied by a limit of {LIMIT} a day, {} clock jumps \
                and restarts",
                self.questions, self.denied, self.breaks
            );
            for ((name, ..), count) in ENDS.iter().zip(self.ends) {
                println!("  {count:>6} {name}");
            }
            let percent = self.worst_overspend * 100 / MOST;
            println!(
                "  spent {}; the highest overspend of a day is {} of {LIMIT}, {percent} % of one \
                call of {MOST}; the longest lock is {} h of 25 h stated",
                self.spent, self.worst_overspend, self.longest_lock
            );
        }
    }

    /// Makes the calls of one hour, up to three at a time.
    fn an_hour_of_calls(account: &SpendLimit, now: Moment, dice: &mut Dice, sums: &mut Figures) {
        for _ in 0..7 {
            let wanted = dice.draw(3) + 1;
            let begun = (0..wanted).filter(|_| account.reserve(Money(MOST), now).is_ok());
            let begun = begun.count();
            sums.questions += wanted;
            sums.denied += wanted - u64::try_from(begun).unwrap();
            for _ in 0..begun {
                let (end, cost) = dice.end();
                account.commit(Money(MOST), Money(cost), now);
                sums.ends[end] += 1;
                sums.spent += cost;
            }
            let over = account.spent(now).0.0.saturating_sub(LIMIT);
            sums.worst_overspend = sums.worst_overspend.max(over);
        }
    }

    /// Checks a month, hour by hour, with a clock that is set from time to time, and with restarts.
    #[test]
    fn in_a_month_of_clock_jumps_no_day_exceeds_its_limit_and_none_is_locked() {
        let mut dice = Dice(7);
        let mut sums = Figures::default();
        let mut account = limit(Some(LIMIT), None);
        let (mut offset, mut last_use) = (0_i64, 0_u64);
        for hour in 0..30 * 24 {
            if dice.draw(20) == 0 {
                offset += i64::try_from(dice.draw(40 * 24)).unwrap() - 20 * 24;
                sums.breaks += 1;
            }
            let wall = 20_800 * 86_400 + (i64::try_from(hour).unwrap() + offset) * 3600;
            let now = Moment {
                wall: Timestamp::from_second(wall).unwrap(),
                uptime: DAY * 20_800 + Duration::from_hours(hour),
            };
            if dice.draw(50) == 0 {
                let before = account.account().spent;
                account = limit(Some(LIMIT), None);
                account.account().restore(before);
                sums.breaks += 1;
                last_use = hour;
            }
            let before = sums.denied;
            let asked = sums.questions;
            an_hour_of_calls(&account, now, &mut dice, &mut sums);
            if sums.questions - asked > sums.denied - before {
                last_use = hour;
            }
            sums.longest_lock = sums.longest_lock.max(hour - last_use);
        }
        sums.print();
        assert!(sums.worst_overspend <= MOST, "{sums:?}");
        assert!(sums.longest_lock <= 25, "{sums:?}");
        // Each of them can move the next midnight to the present moment, once.
        let most = (LIMIT + MOST) * (31 + sums.breaks);
        assert!(sums.spent <= most && sums.breaks > 20, "{sums:?}");
        assert!(sums.ends.iter().all(|count| *count > 10), "{sums:?}");
    }

    #[test]
    fn without_limits_it_only_counts() {
        let limit = limit(None, None);
        limit.reserve(Money(u64::MAX), noon(1)).unwrap();
        limit.commit(Money(u64::MAX), Money(5), noon(1));
        assert_eq!(limit.spent(noon(1)).0, Money(5));
    }
}
