//! sayso: plain-language commands in, structured device actions out, over MQTT.
//!
//! # The map of the house
//!
//! A command is one value that changes type as it moves one way: bytes → `Command` → `Phrase` → `Draft` → `Plan` →
//! publications and one `Reply`. [`pipeline`] is that way, top to bottom; open it first.
//! Deciding is pure; touching the world is at the edge. A room imports rooms of lower floors only
//! (`tests/it/layers.rs` holds it to that). From the top:
//!
//! | floor | rooms |
//! |---|---|
//! | 8 | [`cli`]: what an operator types |
//! | 7 | [`daemon`]: the only room that knows MQTT and pipeline both: build, spawn, ready, drain |
//! | 6 | [`config`]: from files to validated settings; builds every room's own `Settings` |
//! | 5 | [`pipeline`]: the way of a command |
//! | 4 | [`local`]: the reading without a network · [`interpret`]: recall, admit, compose, ask, read · [`discovery`]: what devices say of themselves |
//! | 3 | [`mqtt`]: the connection, in and out · [`store`]: what survives a restart |
//! | 2 | [`provider`]: language models behind one interface · [`command`]: what was said, what is answered |
//! | 1 | [`home`]: what exists, its state, and the one gate to it · [`telemetry`] · [`secret`] · [`systemd`] |

pub mod binding;
pub mod cache;
pub mod cli;
pub mod command;
pub mod config;
pub mod daemon;
pub mod discovery;
pub mod grammar;
pub mod home;
pub mod mqtt;
pub mod pipeline;
pub mod prompt;
pub mod provider;
pub mod router;
pub mod secret;
pub mod store;
pub mod systemd;
pub mod telemetry;
pub mod vocabulary;
pub mod wire;
