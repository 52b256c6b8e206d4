//! sayso: plain-language commands in, structured device actions out, over MQTT.
//!
//! # Modules
//!
//! A command is a value that changes type as it moves in one direction: bytes, `Command`, `Phrase`,
//! `Draft`, `Plan`, publications and one `Reply`. `pipeline` shows this path from top to bottom;
//! read it first. Decisions are pure functions; I/O is at the edges. A module imports only from
//! layers below its own, which `tests/it/layers.rs` enforces. The modules are private: the program
//! calls [`cli::main`], and the other members of the workspace use the items in `testing`. From the
//! top:
//!
//! | layer | modules |
//! |---|---|
//! | 10 | `testing`: the items for tests, benchmarks and the demo |
//! | 9 | `cli`: the subcommands |
//! | 8 | `daemon`: builds all parts, runs the event loop, reloads and drains |
//! | 7 | `config`: reads files into validated settings |
//! | 6 | `pipeline`: the path of one command |
//! | 5 | `mqtt`: the broker connection · `cache`: drafts in memory and on disk · `router`: failover between providers · `grammar`: local understanding |
//! | 4 | `wire`: payload formats · `store`: journal and spending on disk · `redis`: shared limits · `pair`: which of two nodes leads · `discovery`: announced devices · `schedule`: commands for later · `prompt`: prompt and answer format · `templates`: sentence templates |
//! | 3 | `home`: devices, state, rights and the permission gate · `command`: commands and replies |
//! | 2 | `binding`: topics, payloads and templates of devices · `provider`: APIs of language models |
//! | 1 | `vocabulary`: properties, values, actions · `delivery`: the fate of a message · `backoff` · `telemetry` · `secret` · `systemd` |
//! | 0 | `clock`: the monotonic clock |

mod backoff;
mod binding;
mod cache;
pub mod cli;
mod clock;
mod command;
mod config;
mod daemon;
mod delivery;
mod discovery;
mod grammar;
mod home;
mod mqtt;
mod pair;
mod pipeline;
mod prompt;
mod provider;
mod redis;
mod router;
mod schedule;
mod secret;
mod store;
mod systemd;
mod telemetry;
mod templates;
#[doc(hidden)]
pub mod testing;
mod vocabulary;
mod wire;
