//! How far a clause opens or closes something: to an end, to a part of its way, or by an amount.

use crate::grammar::clause::{Amount, Clause, Preposition};
use crate::grammar::sense::{Level, StateWord};

/// Greatest position in percent that "close it to .. percent" means: "closed to 80 percent" may be
/// 20 percent open, and to open it to 80 percent is not what "close" asks for.
pub(super) const MOST_WHEN_CLOSED: f64 = 50.0;

/// Hours of a day: a greater number cannot be a time.
pub(super) const HOURS: f64 = 24.0;

/// How far something is to be opened or closed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Extent {
    /// To its end.
    End,
    /// To this position.
    To(Amount),
    /// By this part of its way.
    By(Amount),
    /// "a bit"
    Slightly,
}

/// Returns how far the clause, whose verb opens or closes, moves it; `None` if that is not certain.
pub(super) fn extent(clause: &Clause, open: bool) -> Option<Extent> {
    // "20 percent more", "another quarter", "by a third"
    let is_relative = clause.slightly || clause.preposition == Preposition::By;
    let to = clause.preposition == Preposition::To;
    match clause.amount {
        None if clause.slightly => Some(Extent::Slightly),
        None | Some(Amount::Level(Level::Full)) => {
            (clause.property.is_none() && !clause.slightly).then_some(Extent::End)
        }
        Some(amount) if is_relative => {
            // "by nine" is a time of the clock.
            let by_number = matches!(amount, Amount::Number(n) if n > HOURS)
                && clause.preposition == Preposition::By;
            (is_part(amount) || by_number).then_some(Extent::By(amount))
        }
        Some(amount @ Amount::Level(Level::Half)) => Some(Extent::To(amount)),
        Some(amount @ Amount::Number(_)) => (open && to).then_some(Extent::To(amount)),
        Some(amount) if open => is_part(amount).then_some(Extent::To(amount)),
        // "Close a quarter" leaves three quarters open, so only "to" is certain: "close the blinds
        // to 20 percent" names the final position.
        Some(amount) => (to && is_mostly_closed(amount)).then_some(Extent::To(amount)),
    }
}

/// Returns the position that a state with an amount names: "70 percent closed", "two thirds open".
pub(super) fn position(state: StateWord, amount: Amount) -> Option<Amount> {
    match state {
        StateWord::Open => is_part(amount).then_some(amount),
        StateWord::Closed => closed_by(amount),
        _ => None,
    }
}

/// Returns whether the amount is a part of the whole way.
pub(super) fn is_part(amount: Amount) -> bool {
    match amount {
        Amount::Level(level) => level.is_part(),
        amount => matches!(amount, Amount::Measured(..)),
    }
}

/// Returns the position of something closed by this part: 20 percent where it is "80 percent
/// closed".
fn closed_by(part: Amount) -> Option<Amount> {
    match part {
        Amount::Level(level) => level.rest().map(Amount::Level),
        Amount::Measured(percent, unit) => (0.0..=100.0)
            .contains(&percent)
            .then_some(Amount::Measured(100.0 - percent, unit)),
        _ => None,
    }
}

fn is_mostly_closed(amount: Amount) -> bool {
    match amount {
        Amount::Measured(percent, _) => percent <= MOST_WHEN_CLOSED,
        Amount::Level(level) => {
            level.is_part() && level.percent().is_some_and(|p| p <= MOST_WHEN_CLOSED)
        }
        _ => false,
    }
}
