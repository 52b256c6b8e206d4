//! One binary for all end-to-end tests: real broker, real store, real HTTP on loopback.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, and its steps are read in order"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where, and one that is skipped, why"
)]

/// The root of the repository.
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The program, built from `src/main.rs` together with these tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_sayso-under-test");

mod aimock;
mod announced;
mod answered;
mod asked;
mod broker;
mod cache;
mod command;
mod conditions;
mod config;
mod confirmation;
mod connection;
mod corpus;
mod daemon;
mod dialect;
mod dialogue;
mod discovery;
mod docs;
mod doctor;
mod endpoint;
mod exposes;
mod failover;
mod faults;
mod flood;
mod follow_ups;
mod full_disk;
mod groups;
mod home;
mod hostile;
mod hostile_templates;
mod installed;
mod language;
mod languages;
mod layers;
mod listener;
mod lookout;
mod loops;
mod metrics;
mod month;
mod nodes;
mod obeys;
mod order;
mod outage;
mod pair;
mod phrasebook;
mod places;
mod players;
mod prompt;
mod providers;
mod questions;
mod quota;
mod recall;
mod redis_server;
mod reload;
mod repository;
mod restart;
mod rights;
mod say;
mod scene;
mod security;
mod shutdown;
mod slow;
mod streaming;
mod templates;
mod timers;
mod times;
mod tongues;
mod tools;
mod try_;
mod written;
