//! Requests about the timers of a source: list, time left, cancel, change, and plain timers.

use std::time::Duration;

use crate::clock::now;
use crate::command::reply::Refusal;
use crate::grammar::follow_up::FollowUp;
use crate::grammar::timer_request::{TimeShift, TimerRequest};
use crate::pipeline::due_time::DueTime;
use crate::pipeline::follow_up::aside;
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::{Interpretation, Request};
use crate::pipeline::reply::{Handled, Success};
use crate::pipeline::time_speech::duration_in_words;
use crate::schedule::due::{Due, Wait};
use crate::schedule::moment::MOST_DAYS;
use crate::schedule::timer::{Task, Timer, TimerId};
use crate::vocabulary::speech::{Speech, fill, sentence};
use crate::vocabulary::timing::{Day, Recurrence, Span, Timing};

/// The longest time until a timer is due.
const LONGEST_WAIT: Duration = Duration::from_hours(24 * MOST_DAYS.unsigned_abs());

/// The most timers named in one reply.
const MOST_LISTED: usize = 12;

impl Pipeline {
    /// Handles a request about timers. Returns `None` where the source has no timer that it could
    /// be about.
    pub(super) async fn handle_timer_request(
        &self,
        request: &Request<'_>,
        asked: TimerRequest,
    ) -> Option<Handled> {
        let speech = self.services.grammar.speech(request.phrase);
        let own = self.own_timers(request);
        let is_about_all = matches!(
            asked,
            TimerRequest::List | TimerRequest::Left(None) | TimerRequest::CancelAll
        );
        let answer = match asked {
            // "a timer for Robby" may be one for what Robby does.
            TimerRequest::Set(_, Some(name)) if self.names_a_device(&name, request) => {
                return None;
            }
            TimerRequest::Set(timing, name) => {
                return Some(self.set_plain_timer(request, &timing, name).await);
            }
            TimerRequest::ChangeOrSet(timing) if own.is_empty() => {
                return Some(self.set_plain_timer(request, &timing, None).await);
            }
            asked if own.is_empty() => {
                if !self.is_only_about_timers(&asked, request) {
                    return None;
                }
                Ok(self.none_of_timers(speech).clone())
            }
            TimerRequest::List => Ok(self.listed(&own, speech)),
            TimerRequest::Left(words) => self.left(request, &own, words.as_deref(), speech),
            TimerRequest::CancelAll => {
                let ids: Vec<TimerId> = own.iter().map(|timer| timer.id).collect();
                Ok(self.cancel(request, &ids, speech).await)
            }
            TimerRequest::Cancel(words) => {
                match self.one(request, &own, words.as_deref(), speech) {
                    Ok(timer) => Ok(self.cancel(request, &[timer.id], speech).await),
                    Err(refusal) => Err(refusal),
                }
            }
            TimerRequest::CancelThat => {
                let id = self.meant_timer(request, &own)?;
                Ok(self.cancel(request, &[id], speech).await)
            }
            TimerRequest::Change(timing) | TimerRequest::ChangeOrSet(timing) => {
                self.change(request, own.last()?, &timing, speech).await
            }
            TimerRequest::ChangeBy(span, shift) => {
                self.change_by(request, own.last()?, span, shift).await
            }
        };
        let handled = match answer {
            Ok(mut text) => {
                if is_about_all && !own.is_empty() {
                    text = self.with_unread(text, speech);
                }
                let answered = aside(&text);
                Handled::understood(&answered).with_result(Ok(Success::Answered(sentence(&text))))
            }
            Err(refusal) => Handled::understood(&aside("")).with_result(Err(refusal)),
        };
        Some(handled)
    }

    /// Adds to an answer about all timers that others cannot be read, if there may be any.
    fn with_unread(&self, text: String, speech: &Speech) -> String {
        if self.has_unread_timers() {
            format!("{text}. {}", speech.time.unread)
        } else {
            text
        }
    }

    /// Returns the sentence for a source without timers: none may be known because none can be read.
    fn none_of_timers<'s>(&self, speech: &'s Speech) -> &'s String {
        if self.has_unread_timers() {
            &speech.time.unread
        } else {
            &speech.time.none
        }
    }

    /// Returns whether a request can be about nothing else, even where the source has no timer.
    fn is_only_about_timers(&self, asked: &TimerRequest, request: &Request<'_>) -> bool {
        match asked {
            TimerRequest::List
            | TimerRequest::Left(_)
            | TimerRequest::CancelAll
            | TimerRequest::Cancel(None) => true,
            // "cancel the cleaning" is about what a device does.
            TimerRequest::Cancel(Some(_)) => self.services.grammar.names_a_timer(request.phrase),
            TimerRequest::CancelThat => !self.follows_another(request),
            TimerRequest::Change(_)
            | TimerRequest::ChangeOrSet(_)
            | TimerRequest::ChangeBy(..)
            | TimerRequest::Set(..) => false,
        }
    }

    /// Returns the request about timers that the phrase is. "Undo that" after a command that set a
    /// timer means the timer.
    pub(super) fn timer_request(&self, request: &Request<'_>) -> Option<TimerRequest> {
        let grammar = &self.services.grammar;
        grammar.timer_request(request.phrase).or_else(|| {
            self.last_timer(request)?;
            let is_undo = grammar.follow_up(request.phrase) == Some(FollowUp::Undo);
            is_undo.then_some(TimerRequest::CancelThat)
        })
    }

    /// Returns the number of the timer that the last command of the conversation has set, if that
    /// was all it did.
    fn last_timer(&self, request: &Request<'_>) -> Option<String> {
        let dialogue = self.shared.dialogue();
        let last = dialogue.last(request.command, now())?;
        last.timer.clone().filter(|_| last.earlier.is_empty())
    }

    /// Returns the timer that "cancel that" means: the one of the last command; without a command
    /// before it the only one.
    fn meant_timer(&self, request: &Request<'_>, own: &[Timer]) -> Option<TimerId> {
        if let Some(number) = self.last_timer(request) {
            let mut ids = own.iter().map(|timer| timer.id);
            return ids.find(|id| id.to_string() == number);
        }
        match own {
            [timer] if !self.follows_another(request) => Some(timer.id),
            _ => None,
        }
    }

    /// Returns whether the conversation has a command before this one.
    fn follows_another(&self, request: &Request<'_>) -> bool {
        let dialogue = self.shared.dialogue();
        dialogue.last(request.command, now()).is_some()
    }

    fn own_timers(&self, request: &Request<'_>) -> Vec<Timer> {
        let clocks = self.clocks();
        let mut timers = self.shared.timers();
        if timers.follow_clock(&clocks) {
            self.shared.timers_changed.notify_one();
        }
        timers.of_source(&request.command.source).cloned().collect()
    }

    async fn set_plain_timer(
        &self,
        request: &Request<'_>,
        timing: &Timing,
        name: Option<String>,
    ) -> Handled {
        let nothing: Interpretation = aside("");
        let handled = Handled::understood(&nothing);
        let speech = self.services.grammar.speech(request.phrase);
        let due = match self.due_time_of(request, timing) {
            Ok(due) => due,
            Err(refusal) => return handled.with_result(Err(refusal)),
        };
        let time = self.time_in_words(speech, &due);
        let text = sentence(&fill(&speech.time.timer_set, &[("time", &time)]));
        let command = request.command;
        let task = Task::Signal { name };
        match self.add_timer(command, &command.text, task, due).await {
            Ok(scheduled) => handled
                .with_scheduled(scheduled)
                .with_result(Ok(Success::Done(text))),
            Err(refusal) => handled.with_result(Err(refusal)),
        }
    }

    pub(super) fn due_of(&self, timer: &Timer) -> DueTime {
        let clocks = self.clocks();
        let wait = match timer.due.wait(&clocks) {
            Wait::For(left) => left,
            Wait::Late(_) | Wait::ClockUnset | Wait::Unknown | Wait::ForState => Duration::ZERO,
        };
        let zone = self.services.location.zone.clone();
        DueTime {
            due: timer.due.clone(),
            wall: timer.due.wall().map(|at| at.to_zoned(zone)),
            wait,
            repeat: timer.repeat.clone(),
            condition: timer.condition.clone(),
        }
    }

    fn listed(&self, timers: &[Timer], speech: &Speech) -> String {
        let entry = |timer: &Timer| {
            let time = self.due_in_words(speech, &self.due_of(timer));
            let text = timer.text.trim_end_matches(['.', '!']);
            fill(&speech.time.entry, &[("text", text), ("time", &time)])
        };
        let entries: Vec<String> = timers.iter().map(entry).collect();
        speech.list_up_to(&entries, MOST_LISTED).into_owned()
    }

    fn left(
        &self,
        request: &Request<'_>,
        own: &[Timer],
        words: Option<&str>,
        speech: &Speech,
    ) -> Result<String, Refusal> {
        let chosen: Vec<Timer> = match words {
            Some(words) => vec![self.one(request, own, Some(words), speech)?],
            None => own.to_vec(),
        };
        let entry = |timer: &Timer| {
            let due = self.due_of(timer);
            let text = timer.text.trim_end_matches(['.', '!']);
            if due.due.wait(&self.clocks()) == Wait::ClockUnset {
                let time = self.due_in_words(speech, &due);
                return fill(&speech.time.entry, &[("text", text), ("time", &time)]);
            }
            let left = match &due.condition {
                Some(_) => self.due_in_words(speech, &due),
                None => duration_in_words(speech, due.wait),
            };
            fill(&speech.time.left, &[("text", text), ("left", &left)])
        };
        let entries: Vec<String> = chosen.iter().map(entry).collect();
        Ok(speech.list_up_to(&entries, MOST_LISTED).into_owned())
    }

    /// Returns the one timer that the words describe; without words, the only one.
    fn one(
        &self,
        request: &Request<'_>,
        own: &[Timer],
        words: Option<&str>,
        speech: &Speech,
    ) -> Result<Timer, Refusal> {
        let fits: Vec<Timer> = match words {
            Some(words) => {
                let fits = |timer: &&Timer| self.is_described(timer, words, request);
                own.iter().filter(fits).cloned().collect()
            }
            None => own.to_vec(),
        };
        match fits.as_slice() {
            [timer] => Ok(timer.clone()),
            [] => Err(Refusal::NotPermitted {
                why: speech.time.none_such.clone(),
            }),
            several => {
                let entry = |timer: &Timer| format!("{}: {}", timer.id, timer.text);
                let choices: Vec<String> = several.iter().map(entry).collect();
                let choices = speech.list_up_to(&choices, MOST_LISTED);
                Err(Refusal::Unclear {
                    question: fill(&speech.time.which, &[("choices", &choices)]),
                })
            }
        }
    }

    async fn cancel(&self, request: &Request<'_>, ids: &[TimerId], speech: &Speech) -> String {
        let cancelled: Vec<Timer> = if request.command.dry_run {
            let timers = self.shared.timers();
            ids.iter()
                .filter_map(|id| timers.get(*id).cloned())
                .collect()
        } else {
            self.remove_timers(ids)
        };
        if !request.command.dry_run {
            self.store_changes().await;
        }
        let texts: Vec<String> = cancelled.into_iter().map(|timer| timer.text).collect();
        let texts = speech.list_up_to(&texts, MOST_LISTED);
        fill(&speech.time.cancelled, &[("text", &texts)])
    }

    async fn change(
        &self,
        request: &Request<'_>,
        timer: &Timer,
        timing: &Timing,
        speech: &Speech,
    ) -> Result<String, Refusal> {
        let Some(timing) = changed_timing(timer, timing) else {
            let forms = &speech.time;
            let question = match timer.condition {
                Some(_) => forms.which_state.clone(),
                None => forms.which_time.clone(),
            };
            return Err(Refusal::Unclear { question });
        };
        let due = self.due_time(request, &timing)?;
        let changed: Due = due.due.clone();
        if !request.command.dry_run {
            let repeat = due.repeat.clone();
            self.shared.timers().reschedule(timer.id, changed, repeat);
            self.store_changes().await;
        }
        let time = self.due_in_words(speech, &due);
        let places = [("text", timer.text.as_str()), ("time", time.as_str())];
        Ok(fill(&speech.time.entry, &places))
    }

    /// Lets a timer end later or earlier by a length of time. Only one that fires once.
    async fn change_by(
        &self,
        request: &Request<'_>,
        timer: &Timer,
        span: Span,
        shift: TimeShift,
    ) -> Result<String, Refusal> {
        let speech = self.services.grammar.speech(request.phrase);
        let length = Duration::from_secs(u64::from(span.days) * 86_400 + u64::from(span.seconds));
        let moved = match shift {
            TimeShift::Later => timer.due.moved_on(length),
            TimeShift::Earlier => timer.due.moved_back(length, &self.clocks()),
        };
        let Some(due) = moved.filter(|_| timer.repeat.is_none()) else {
            let forms = &speech.time;
            let question = match timer.condition {
                Some(_) => forms.which_state.clone(),
                None => forms.which_time.clone(),
            };
            return Err(Refusal::Unclear { question });
        };
        let changed = Timer {
            due,
            ..timer.clone()
        };
        let due = self.due_of(&changed);
        if due.wait > LONGEST_WAIT {
            let days = MOST_DAYS.to_string();
            return Err(Refusal::NotPermitted {
                why: fill(&speech.time.too_far, &[("days", &days)]),
            });
        }
        if !request.command.dry_run {
            let due = changed.due;
            self.shared.timers().reschedule(timer.id, due, None);
            self.store_changes().await;
        }
        let time = self.due_in_words(speech, &due);
        let places = [("text", timer.text.as_str()), ("time", time.as_str())];
        Ok(fill(&speech.time.entry, &places))
    }

    /// Returns whether every word of a description is in the text, the name or the number of a
    /// timer, or in the names of its devices.
    fn is_described(&self, timer: &Timer, words: &str, request: &Request<'_>) -> bool {
        let mut known = timer.text.clone();
        for action in timer.task.actions() {
            let Some(device) = request.home.device(&action.device) else {
                continue;
            };
            let area = device.area.as_ref().and_then(|id| request.home.area(id));
            let names = std::iter::once(&device.name)
                .chain(&device.aliases)
                .chain(area.map(|area| &area.name));
            for name in names {
                known.push(' ');
                known.push_str(name);
            }
        }
        let known = self.services.grammar.comparable(request.phrase, &known);
        let known: Vec<&str> = known.split(|c: char| !c.is_alphanumeric()).collect();
        let number = timer.id.to_string();
        let mut words = words.split(' ').filter(|word| !word.is_empty());
        words.all(|word| known.contains(&word) || word == number)
    }

    /// Returns whether a word of a name is one of the names of a device or an area.
    fn names_a_device(&self, name: &str, request: &Request<'_>) -> bool {
        let devices = request.home.devices().iter();
        let names = devices.flat_map(|device| std::iter::once(&device.name).chain(&device.aliases));
        let areas = request.home.areas().iter().map(|area| &area.name);
        names.chain(areas).any(|known| {
            let known = self.services.grammar.comparable(request.phrase, known);
            let mut words = known.split(|c: char| !c.is_alphanumeric());
            words.any(|word| !word.is_empty() && name.split(' ').any(|own| own == word))
        })
    }
}

/// Returns the new time of a timer. A repeated command keeps its days, and an interval is replaced
/// by an interval; otherwise it is not clear which of them would change.
fn changed_timing(timer: &Timer, timing: &Timing) -> Option<Timing> {
    if timer.condition.is_some() {
        return None;
    }
    let recurrence = timer.repeat.as_ref().map(|repeat| repeat.recurrence);
    match (recurrence, timing) {
        (Some(Recurrence::Days { days, .. }), Timing::At(point)) if point.day == Day::Next => {
            let time = point.time;
            Some(Timing::Every(Recurrence::Days { days, time }))
        }
        (Some(Recurrence::Interval { until, .. }), Timing::After(span)) if span.days == 0 => {
            let seconds = span.seconds;
            Some(Timing::Every(Recurrence::Interval { seconds, until }))
        }
        (None, _) | (_, Timing::Every(_)) => Some(timing.clone()),
        _ => None,
    }
}
