//! One binary for all end-to-end tests: real broker, real store, real HTTP on loopback.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that cannot go on should say where, and one that is skipped, why")]

mod aimock;
mod announced;
mod broker;
mod cache;
mod command;
mod config;
mod connection;
mod corpus;
mod daemon;
mod dialect;
mod discovery;
mod doctor;
mod endpoint;
mod exposes;
mod failover;
mod faults;
mod home;
mod language;
mod layers;
mod listener;
mod metrics;
mod obeys;
mod phrasebook;
mod prompt;
mod providers;
mod quota;
mod recall;
mod reload;
mod restart;
mod say;
mod scene;
mod shutdown;
mod streaming;
mod try_;
mod written;
