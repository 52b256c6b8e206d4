//! The poll loop: one broker connection after another, until the outbox is closed.

use std::io::ErrorKind;
use std::time::Duration;

use rumqttc::v5::mqttbytes::{self, v5::ConnectReturnCode};
use rumqttc::v5::{ConnectionError, EventLoop, MqttState, StateError};
use tokio::pin;
use tokio::select;
use tokio::task::yield_now;
use tokio::time::sleep_until;

use crate::clock::now;
use crate::mqtt::session::Session;

/// The longest first pause before connecting again. Doubled for each attempt that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause of all.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A connection that stood this long was a good one: the next pause is short again.
const STEADY: Duration = Duration::from_secs(30);

/// Messages on their way at once as rumqttc counts them. Its default, 65535, takes 14 MB.
pub(super) const INFLIGHT: u16 = crate::mqtt::session::WINDOW + 1;

/// The connection to the broker. Nothing is opened before [`Connection::run`].
pub struct Connection {
    pub(super) eventloop: EventLoop,
    pub(super) link: Session,
    /// As set: a broker may shorten it for one connection.
    pub(super) keep_alive: Duration,
}

/// Why one connection ended.
enum End {
    /// It is lost, or could not be made.
    Lost(String),
    /// The outbox is closed.
    Closed,
}

impl Connection {
    /// Connects, and connects again whenever the connection is lost, until the outbox is closed. Dropping the future ends
    /// the connection without a word; the broker then publishes the last will.
    pub async fn run(mut self) {
        let mut attempt = 0;
        while let End::Lost(why) = self.connection().await {
            let steady = self.link.stood(now()) >= STEADY;
            attempt = if steady { 0 } else { attempt + 1 };
            self.forget(&why);
            if self.rest(pause(attempt)).await {
                return;
            }
        }
    }

    /// One connection, from connecting to its end.
    async fn connection(&mut self) -> End {
        loop {
            // Where a broker says 0, "no keep-alive", rumqttc would ping without a pause.
            if self.eventloop.options.keep_alive().is_zero() {
                self.eventloop.options.set_keep_alive(self.keep_alive);
            }
            // rumqttc misses a ping after two keep-alives, but waits without a bound while it writes.
            let patience = self.eventloop.options.keep_alive() * 2;
            let polled = {
                let poll = self.eventloop.poll();
                pin!(poll);
                loop {
                    let look = self.link.next_look(now(), patience).into();
                    // The poll is kept, not begun anew, so that nothing half written is ever dropped.
                    select! {
                        event = &mut poll => break event,
                        () = self.link.wake() => {}
                        () = sleep_until(look) => {}
                    }
                    if let Some(end) = turn(&mut self.link, patience) {
                        return end;
                    }
                }
            };
            match polled {
                Ok(event) => self.link.on(event, now()),
                Err(error) => return End::Lost(told(&error)),
            }
            if let Some(end) = turn(&mut self.link, patience) {
                return end;
            }
            // A burst is read from the socket in one go. Nobody is waited for, but the line is not filled while its reader has no turn.
            if self.link.is_half_full() {
                yield_now().await;
            }
        }
    }

    /// Takes in what was read before the connection broke, and leaves rumqttc with nothing: what is sent again, and in
    /// which order, is decided in [`Session::lost`].
    fn forget(&mut self, why: &str) {
        self.eventloop.clean();
        for event in std::mem::take(&mut self.eventloop.state.events) {
            self.link.on(event, now());
        }
        self.eventloop.pending.clear();
        self.eventloop.state = MqttState::new(INFLIGHT, true);
        self.link.lost(why);
    }

    /// Waits before the next attempt; true where the outbox was closed meanwhile.
    async fn rest(&mut self, pause: Duration) -> bool {
        let until = now() + pause;
        loop {
            let now = now();
            self.link.tend(now);
            if self.link.is_over(now) {
                return true;
            }
            if now >= until {
                return false;
            }
            let look = self.link.next_look(now, LONGEST_PAUSE).min(until).into();
            select! {
                () = self.link.wake() => {}
                () = sleep_until(look) => {}
            }
        }
    }
}

/// Does what is to be done after whatever happened, and tells whether the connection goes on.
fn turn(link: &mut Session, patience: Duration) -> Option<End> {
    let now = now();
    link.tend(now);
    if link.is_over(now) {
        Some(End::Closed)
    } else if link.is_silent(now, patience) {
        Some(End::Lost("the broker is silent".to_owned()))
    } else {
        None
    }
}

/// Full jitter: after a broker's restart its clients do not all come back at once.
/// Source: AWS Architecture Blog, "Exponential Backoff And Jitter", 2015.
fn pause(attempt: u32) -> Duration {
    let most = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)))
        .min(LONGEST_PAUSE);
    rand::random_range(Duration::ZERO..=most)
}

/// What the operator should know about an error.
fn told(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized) => {
            "the broker refuses the login: check `mqtt.username` and the password".to_owned()
        }
        // A DISCONNECT without properties, which tells why, is not read by rumqttc 0.25: it shows as the end of the stream.
        ConnectionError::MqttState(error) if is_closed(error) => {
            "the broker closed the connection: where that comes again and again, another client has the same `mqtt.client_id`".to_owned()
        }
        ConnectionError::Timeout(_) => "the broker does not answer".to_owned(),
        ConnectionError::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
            "nobody listens there: start the broker, or mend `mqtt.host` and `mqtt.port`".to_owned()
        }
        other => format!("{other} (`sayso doctor` looks closer)"),
    }
}

fn is_closed(error: &StateError) -> bool {
    match error {
        StateError::ConnectionAborted => true,
        StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)) => {
            error.kind() == ErrorKind::ConnectionReset
        }
        _ => false,
    }
}
