//! A clause → what is wished, before it is known of which device: verbs, states and amounts that say the same become one.

use crate::grammar::clause::{Amount, Clause, Preposition, QueryVerb};
use crate::grammar::lexicon::standard;
use crate::grammar::sense::{Act, Level, More, State};

/// The hours of a day: a greater number is no time.
const HOURS: f64 = 24.0;

/// What is wished of a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Intent {
    Switch(bool),
    /// On, at a value.
    OnAt(Option<u16>, Amount),
    /// Off what is switched, closed what opens.
    Shut,
    Toggle,
    Open(bool),
    /// Out, or in.
    Extend(bool),
    Lock(bool),
    /// More or less.
    StepSize(StepSize),
    Put(Option<u16>, Amount),
    /// A declared property on or off.
    Flag(u16, bool),
    Stop,
    Start,
    Pause,
    Play,
    Skip(bool),
    Mute(bool),
    Dock,
    Locate,
    Clean,
    Mow,
    Perform,
    Press,
    Arm(bool),
    Query(Option<u16>, Option<QueriedProperty>),
}

/// A relative change.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "how it was said, each by itself"
)]
pub(super) struct StepSize {
    pub(super) property: Option<u16>,
    pub(super) up: bool,
    pub(super) by: Option<Amount>,
    /// "up" and "down", which open and close what opens; but not "up a bit".
    pub(super) vertical: bool,
    /// Without a verb: "volume up".
    pub(super) bare: bool,
    /// "warmer", which of a light is a colour.
    pub(super) warmth: bool,
}

/// What a question asks about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum QueriedProperty {
    /// Whether it is so.
    Is(State),
    /// Whether it is that.
    At(Amount),
    /// How it is with what that state is of: "on or off?"
    Of(State),
    /// What was set.
    Target,
    /// What its name says: "what is the outdoor temperature".
    Named,
}

/// What the clause wishes. `None` where its parts do not go together.
pub(super) fn wish(clause: &Clause) -> Option<Intent> {
    if let Some(ask) = clause.ask {
        return query(clause, ask);
    }
    let lone = clause.amount.is_none()
        && clause.state.is_none()
        && clause.more.is_none()
        && clause.property.is_none()
        && !clause.much;
    if lone && clause.act.is_none() && clause.status || is_reading(clause) {
        return Some(Intent::Query(clause.property, None));
    }
    if clause.either || clause.status || (clause.mode && !mode_is_said(clause)) {
        return None;
    }
    if let Some(more) = clause.more {
        return comparative(clause, more);
    }
    match clause.act {
        None | Some(Act::Turn | Act::Set) => change(clause),
        Some(Act::On) => switched(clause, State::On),
        Some(Act::Off) => switched(clause, State::Off),
        Some(Act::Open) => opening(clause, true),
        Some(Act::Close) if clause.state == Some(State::Off) => change(&Clause {
            act: Some(Act::Turn),
            ..clause.clone()
        }),
        Some(Act::Close) => opening(clause, false),
        Some(act @ (Act::Raise | Act::Lower)) => step(clause, None, act == Act::Raise, true),
        Some(act @ (Act::Increase | Act::Decrease)) => {
            step(clause, None, act == Act::Increase, false)
        }
        Some(act @ (Act::Dim | Act::Brighten)) => {
            step(clause, standard("brightness"), act == Act::Brighten, false)
        }
        Some(act @ (Act::Hasten | Act::Slow))
            if !clause.targets.is_empty() || !clause.places.is_empty() =>
        {
            step(clause, standard("speed"), act == Act::Hasten, false)
        }
        Some(Act::Enlighten)
            if clause.targets.is_empty()
                && (lone || (clause.state == Some(State::On) && clause.amount.is_none())) =>
        {
            Some(Intent::Switch(true))
        }
        Some(Act::Illuminate) if !clause.targets.is_empty() => switched(clause, State::On),
        // "cool" alone is said of other things.
        Some(Act::Warm | Act::Cool)
            if clause.targets.is_empty()
                && clause.places.is_empty()
                && clause.property.is_none() =>
        {
            None
        }
        Some(act @ (Act::Warm | Act::Cool)) => {
            step(clause, standard("temperature"), act == Act::Warm, false)
        }
        Some(Act::LockUp) if lone => Some(Intent::Lock(true)),
        Some(Act::Lock)
            if lone
                || (clause.state == Some(State::Up)
                    && clause.amount.is_none()
                    && clause.property.is_none()) =>
        {
            Some(Intent::Lock(true))
        }
        Some(act @ (Act::Mute | Act::Unmute))
            if !clause.much
                && clause.amount.is_none()
                && clause.state.is_none()
                && clause.property == standard("volume") =>
        {
            plain(act)
        }
        Some(Act::Send) if clause.amount.is_none() && clause.property.is_none() => {
            match clause.state {
                Some(State::Docked) => Some(Intent::Dock),
                // "tell the robot to clean"
                Some(State::Cleaning) => Some(Intent::Clean),
                _ => None,
            }
        }
        // "stop cleaning"
        Some(act @ (Act::Stop | Act::Pause))
            if clause.state == Some(State::Cleaning)
                && clause.amount.is_none()
                && clause.property.is_none() =>
        {
            plain(act)
        }
        Some(act) if lone => plain(act),
        Some(_) => None,
    }
}

/// "eco mode" is a value; "turn on party mode" may be a scene.
fn mode_is_said(clause: &Clause) -> bool {
    match clause.amount {
        None => {
            matches!(clause.state, None | Some(State::On))
                && clause.property.is_none()
                && clause.more.is_none()
        }
        amount => matches!(amount, Some(Amount::Choice(_))),
    }
}

/// Verbs that say the state as well: "activate", "kill".
fn switched(clause: &Clause, state: State) -> Option<Intent> {
    let agrees = clause.state.is_none_or(|said| said == state);
    agrees.then(|| {
        change(&Clause {
            act: None,
            state: Some(state),
            ..clause.clone()
        })
    })?
}

/// "bedroom temperature": a property of something, and nothing else.
fn is_reading(clause: &Clause) -> bool {
    let said = Clause {
        targets: Vec::new(),
        places: Vec::new(),
        property: None,
        ..clause.clone()
    };
    let of_something = !clause.targets.is_empty() || !clause.places.is_empty();
    clause.property.is_some() && of_something && said == Clause::default()
}

/// Verbs that say all by themselves.
fn plain(act: Act) -> Option<Intent> {
    Some(match act {
        Act::Shut => Intent::Shut,
        Act::Toggle => Intent::Toggle,
        Act::Extend => Intent::Extend(true),
        Act::Retract => Intent::Extend(false),
        Act::Unlock => Intent::Lock(false),
        Act::Stop => Intent::Stop,
        Act::Start | Act::Perform => Intent::Start,
        Act::Pause => Intent::Pause,
        Act::Play => Intent::Play,
        Act::Next => Intent::Skip(true),
        Act::Previous => Intent::Skip(false),
        Act::Mute => Intent::Mute(true),
        Act::Unmute => Intent::Mute(false),
        Act::Dock => Intent::Dock,
        Act::Locate => Intent::Locate,
        Act::Clean => Intent::Clean,
        Act::Mow => Intent::Mow,
        Act::Press => Intent::Press,
        Act::Arm => Intent::Arm(true),
        Act::Disarm => Intent::Arm(false),
        _ => return None,
    })
}

/// "turn .. on", "set .. to 20", "lights off", "brightness 50".
fn change(clause: &Clause) -> Option<Intent> {
    let (property, amount) = (clause.property, clause.amount);
    if clause.much && !matches!(clause.state, Some(State::Up | State::Down)) {
        return None;
    }
    match (clause.state, amount) {
        (Some(State::On), None) => {
            Some(property.map_or(Intent::Switch(true), |p| Intent::Flag(p, true)))
        }
        (Some(State::Off), None) => {
            Some(property.map_or(Intent::Switch(false), |p| Intent::Flag(p, false)))
        }
        (Some(State::On), Some(amount)) => (clause.act != Some(Act::Set)
            && is_clear(clause, amount))
        .then_some(Intent::OnAt(property, amount)),
        (Some(state @ (State::Up | State::Down)), _) => {
            step(clause, None, state == State::Up, true)
        }
        (None, Some(amount)) => {
            let sure = match (clause.act, amount, clause.link) {
                (_, _, Preposition::By) => false,
                // "at 21" may be a time, "at 40" is none.
                (_, Amount::Number(n), Preposition::At) => property.is_some() || n > HOURS,
                (Some(Act::Set), Amount::Number(_), _) => true,
                (_, Amount::Number(_), link) => link == Preposition::To || property.is_some(),
                _ => true,
            };
            sure.then_some(Intent::Put(property, amount))
        }
        (Some(State::Open), Some(amount @ Amount::Measured(..))) if property.is_none() => {
            Some(Intent::Put(standard("position"), amount))
        }
        (Some(state), None)
            if property.is_none() || (state == State::Muted && property == standard("volume")) =>
        {
            becomes(state)
        }
        (None, None) if clause.act == Some(Act::Set) && property.is_none() => Some(Intent::Perform),
        _ => None,
    }
}

/// "make sure the door is locked", "set the blinds to closed".
fn becomes(state: State) -> Option<Intent> {
    Some(match state {
        State::Open => Intent::Open(true),
        State::Closed => Intent::Open(false),
        State::Locked => Intent::Lock(true),
        State::Unlocked => Intent::Lock(false),
        State::Playing => Intent::Play,
        State::Paused => Intent::Pause,
        State::Stopped => Intent::Stop,
        State::Muted => Intent::Mute(true),
        State::Docked => Intent::Dock,
        State::Cleaning => Intent::Clean,
        State::On | State::Off | State::Up | State::Down => return None,
    })
}

/// An amount that cannot be a time: "on at 50 percent", never "on at nine".
fn is_clear(clause: &Clause, amount: Amount) -> bool {
    !matches!(amount, Amount::Number(_))
        || (clause.property.is_some() && clause.link != Preposition::By)
}

fn opening(clause: &Clause, open: bool) -> Option<Intent> {
    let position = standard("position");
    let property = clause.property.or(position);
    if !matches!(
        (open, clause.state),
        (_, None) | (true, Some(State::Up)) | (false, Some(State::Down))
    ) {
        return None;
    }
    match clause.amount {
        None if clause.much => Some(Intent::StepSize(StepSize {
            property,
            up: open,
            by: None,
            vertical: false,
            bare: false,
            warmth: false,
        })),
        None | Some(Amount::Level(Level::Full)) if clause.property.is_none() => {
            Some(Intent::Open(open))
        }
        Some(amount @ Amount::Level(Level::Half)) => Some(Intent::Put(property, amount)),
        // Closed a quarter is open three.
        Some(amount @ Amount::Level(level))
            if level.is_part() && (open || clause.link == Preposition::To) =>
        {
            Some(Intent::Put(property, amount))
        }
        Some(amount @ Amount::Measured(..)) if clause.link == Preposition::By => {
            Some(Intent::StepSize(StepSize {
                property,
                up: open,
                by: Some(amount),
                vertical: false,
                bare: false,
                warmth: false,
            }))
        }
        Some(amount @ Amount::Measured(..)) if open => Some(Intent::Put(property, amount)),
        Some(amount @ Amount::Number(_)) if open && clause.link == Preposition::To => {
            Some(Intent::Put(property, amount))
        }
        _ => None,
    }
}

/// "turn up", "raise", "dim": to a value, by a value, or by one step.
fn step(clause: &Clause, of: Option<u16>, up: bool, vertical: bool) -> Option<Intent> {
    let own_state = matches!(clause.state, None | Some(State::Up | State::Down))
        && (clause.state.is_none() || (clause.state == Some(State::Up)) == up);
    let property = match (clause.property, of) {
        (Some(said), Some(of)) if said != of => return None,
        (said, of) => said.or(of),
    };
    // "speed up" alone may be said to a person.
    let to_whom = !clause.targets.is_empty() || !clause.places.is_empty();
    if !own_state || (property == standard("speed") && clause.act.is_none() && !to_whom) {
        return None;
    }
    let bare = clause.act.is_none();
    let to_its_end = vertical && !clause.much;
    let next = |by| {
        Some(Intent::StepSize(StepSize {
            property,
            up,
            by,
            vertical: to_its_end,
            bare,
            warmth: matches!(clause.act, Some(Act::Warm | Act::Cool)),
        }))
    };
    match (clause.amount, clause.link) {
        (None, _) => next(None),
        (Some(Amount::Level(Level::Full)), _) if up => {
            Some(Intent::Put(property, Amount::Level(Level::Full)))
        }
        (Some(Amount::Level(Level::Low)), _) if !up => {
            Some(Intent::Put(property, Amount::Level(Level::Low)))
        }
        // "the blinds all the way down": of a light it may be dark or off.
        (Some(Amount::Level(Level::Full)), Preposition::Bare) if vertical => match property {
            None => Some(Intent::Open(false)),
            volume => {
                (volume == standard("volume")).then_some(Intent::Put(volume, Amount::Number(0.0)))
            }
        },
        // "lower the blinds halfway" is where they stop.
        (Some(Amount::Level(Level::Half)), Preposition::Bare) if vertical && property.is_none() => {
            Some(Intent::Put(
                standard("position"),
                Amount::Level(Level::Half),
            ))
        }
        (Some(amount @ Amount::Level(level)), Preposition::To) if level.is_part() => {
            Some(Intent::Put(property, amount))
        }
        (Some(amount @ (Amount::Number(_) | Amount::Measured(..))), Preposition::To) => {
            Some(Intent::Put(property, amount))
        }
        (Some(amount @ (Amount::Number(_) | Amount::Measured(..))), Preposition::By) => {
            next(Some(amount))
        }
        // "turn it up 2 degrees" goes by them; "dim the lamp 20 percent" may mean to or by.
        (Some(amount @ Amount::Measured(..)), Preposition::Bare) if of.is_none() => {
            next(Some(amount))
        }
        _ => None,
    }
}

/// "brighter", "20 percent warmer".
fn comparative(clause: &Clause, more: More) -> Option<Intent> {
    let (of, up) = match more {
        More::Brighter => ("brightness", true),
        More::Darker => ("brightness", false),
        More::Warmer => ("temperature", true),
        More::Cooler => ("temperature", false),
        More::Louder => ("volume", true),
        More::Quieter => ("volume", false),
        More::Faster => ("speed", true),
        More::Slower => ("speed", false),
        More::Higher => ("", true),
        More::Lower => ("", false),
    };
    let verb = matches!(clause.act, Some(Act::Turn | Act::Set));
    // "2 degrees higher" says of what.
    let measured = matches!(clause.amount, Some(Amount::Measured(..)));
    let lone = of.is_empty() && clause.property.is_none() && (!verb || !measured);
    if lone || clause.state.is_some() || !(verb || clause.act.is_none()) {
        return None;
    }
    // "slow down" alone may be said to a person.
    if of == "speed"
        && clause.targets.is_empty()
        && clause.places.is_empty()
        && clause.property.is_none()
    {
        return None;
    }
    let property = match (clause.property, standard(of)) {
        (Some(said), Some(of)) if said != of => return None,
        (said, of) => said.or(of),
    };
    let by = match (clause.amount, clause.link) {
        (None, _) => None,
        (Some(amount @ Amount::Measured(..)), Preposition::Bare)
        | (Some(amount @ (Amount::Measured(..) | Amount::Number(_))), Preposition::By) => {
            Some(amount)
        }
        _ => return None,
    };
    let warmth = matches!(more, More::Warmer | More::Cooler);
    Some(Intent::StepSize(StepSize {
        property,
        up,
        by,
        vertical: false,
        bare: clause.act.is_none(),
        warmth,
    }))
}

fn query(clause: &Clause, ask: QueryVerb) -> Option<Intent> {
    if clause.mode
        && ask == QueryVerb::What
        && clause.property.is_none()
        && clause.state.is_none()
        && clause.amount.is_none()
    {
        // "what is the mode of the thermostat"
        return query(
            &Clause {
                mode: false,
                property: standard("hvac_mode"),
                ..clause.clone()
            },
            ask,
        );
    }
    if clause.act.is_some()
        || clause.more.is_some()
        || clause.much
        || !clause.except.is_empty()
        || clause.ensure
        || clause.mode
    {
        return None;
    }
    let asked = match (clause.state, clause.amount) {
        (Some(_), Some(_)) => return None,
        (Some(state), None) if clause.either || ask == QueryVerb::What => {
            Some(QueriedProperty::Of(state))
        }
        (Some(state), None) => Some(QueriedProperty::Is(state)),
        (None, Some(amount)) => Some(QueriedProperty::At(amount)),
        // "is the car charging": a property that is or is not.
        (None, None) if ask == QueryVerb::Whether && clause.property.is_some() => {
            Some(QueriedProperty::Is(State::On))
        }
        (None, None) => clause.target.then_some(QueriedProperty::Target),
    };
    match ask {
        QueryVerb::Whether if asked.is_none() => None,
        QueryVerb::What if matches!(asked, Some(QueriedProperty::At(_))) => None,
        // "what is the lamp" asks for something else; of a sensor the name may say what.
        QueryVerb::What if asked.is_none() && clause.property.is_none() && !clause.status => {
            (clause.targets.len() == 1).then_some(Intent::Query(None, Some(QueriedProperty::Named)))
        }
        _ if clause.property.is_some() && matches!(asked, Some(QueriedProperty::Of(_))) => None,
        _ => Some(Intent::Query(clause.property, asked)),
    }
}
