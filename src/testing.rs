//! The items of the library that tests, benchmarks, the demo, the manual pages and the fuzz targets
//! use. It is no interface: it changes with them.
//!
//! The modules are grouped as those of the library are.

pub mod binding {
    pub use crate::binding::{Binding, Decoded, Form, Port, tasmota, zigbee2mqtt};
    pub mod color {
        pub use crate::binding::color::rgb;
    }
    pub mod template {
        pub use crate::binding::template::Template;
    }
}
pub mod cache {
    pub use crate::cache::{DraftCache, Key};
    pub mod disk {
        pub use crate::cache::disk::{DiskLimits, Drafts};
    }
    pub mod settings {
        pub use crate::cache::settings::CacheSettings;
    }
}
pub mod cli {
    pub use crate::cli::line;
}
pub mod clock {
    pub use crate::clock::now;
}
pub mod command {
    pub use crate::command::{Redelivery, Source};
    pub mod phrase {
        pub use crate::command::phrase::Phrase;
    }
    pub mod reply {
        pub use crate::command::reply::{Outcome, Refusal, RefusalCode, Reply, Via};
    }
}
pub mod config {
    pub use crate::config::{Config, ConfigLocation, Faults, Scope};
    pub mod units {
        pub use crate::config::units::duration;
    }
}
pub mod daemon {
    pub use crate::daemon::{DaemonSignal, Handles, pipeline, run};
}
pub mod discovery {
    pub use crate::discovery::{Announcement, Settings};
    pub mod finder {
        pub use crate::discovery::finder::Finder;
    }
    pub mod homeassistant {
        pub mod options {
            pub use crate::discovery::homeassistant::option_support::Support;
            pub use crate::discovery::homeassistant::options::{
                COMMON, COMPONENTS, UNUSED_COMPONENTS,
            };
        }
    }
    pub mod registry {
        pub use crate::discovery::registry::{AssembledHome, Registry};
    }
    pub mod zigbee2mqtt {
        pub use crate::discovery::zigbee2mqtt::parse_devices;
    }
}
pub mod grammar {
    pub use crate::grammar::{LocalGrammar, Settings, When};
    pub mod follow_up {
        pub use crate::grammar::follow_up::{Antecedents, FollowUp};
    }
    pub mod timer_request {
        pub use crate::grammar::timer_request::{TimeShift, TimerRequest};
    }
}
pub mod home {
    pub use crate::home::Home;
    pub mod capability {
        pub use crate::home::capability::{Capability, Risk};
    }
    pub mod device {
        pub use crate::home::device::{Area, Device, Kind};
    }
    pub mod permit {
        pub use crate::home::permit::{MOST_ACTIONS, PermitRequest};
    }
    pub mod rights {
        pub use crate::home::rights::{Rights, Rules, Selector};
    }
    pub mod state {
        pub use crate::home::state::State;
    }
}
pub mod mqtt {
    pub use crate::mqtt::{Settings, SetupError, Tls, connect};
    pub mod inbox {
        pub use crate::mqtt::inbox::{InboundCommand, Inbox, Incoming};
    }
    pub mod outbox {
        pub use crate::delivery::{Delivery, Undelivered};
        pub use crate::mqtt::outbound_message::OutboundMessage;
        pub use crate::mqtt::outbox::Outbox;
    }
}
pub mod pipeline {
    pub use crate::pipeline::{CommandOrder, OutboundAction, Pipeline};
    pub mod single_flight {
        pub use crate::pipeline::single_flight::SingleFlight;
    }
}
pub mod pair {
    pub use crate::pair::CommandIdentity;
}
pub mod prompt {
    pub use crate::prompt::{Composer, PromptFingerprint, is_related, rights_class};
    pub mod answer {
        pub use crate::prompt::answer::read;
    }
    pub mod aptitude {
        pub use crate::prompt::aptitude::{AptitudeScore, is_required, questions};
    }
}
pub mod provider {
    pub use crate::provider::model_size::stated_in;
    pub use crate::provider::{
        APIS, ApiSpec, AptitudeTest, Completion, Prompt, ProviderError, Settings, Structure,
        Timeouts, Usage,
    };
    pub mod anthropic {
        pub use crate::provider::anthropic::SPEC;
    }
    pub mod gemini {
        pub use crate::provider::gemini::SPEC;
    }
    pub mod http {
        pub use crate::provider::http::{Endpoint, Trust};
    }
    pub mod ollama {
        pub use crate::provider::ollama::SPEC;
    }
    pub mod openai {
        pub use crate::provider::openai::SPEC;
    }
    pub mod price {
        pub use crate::provider::price::{Limits, Money, Prices, cost};
    }
    pub mod stream {
        pub use crate::provider::stream::AnswerPiece;
    }
}
pub mod redis {
    pub use crate::redis::{AccountReport, Redis, Settlement, SharedCall, SharedDenial};
    pub mod settings {
        pub use crate::redis::settings::RedisSettings;
    }
}
pub mod router {
    pub use crate::router::{ProviderState, Requester, RoutedAnswer, Router};
    pub mod answer_stream {
        pub use crate::router::answer_stream::AnswerStream;
    }
    pub mod settings {
        pub use crate::router::settings::{ProviderOrder, RouterSettings};
    }
}
pub mod secret {
    pub use crate::secret::Secret;
}
pub mod schedule {
    pub use crate::schedule::due::Clocks;
    pub use crate::schedule::timer::Timer;
    pub use crate::schedule::timers::Timers;
}
pub mod store {
    pub use crate::store::{Settings, Store, open};
    pub mod journal {
        pub use crate::store::journal::{Journal, JournalEntry, JournalRecord, Received};
    }
    pub mod spending {
        pub use crate::store::spending::Spending;
    }
}
pub mod systemd {
    pub use crate::systemd::Notify;
}
pub mod telemetry {
    pub mod counters {
        pub use crate::telemetry::counters::Counters;
    }
    pub mod log {
        pub use crate::telemetry::log::{Log, Settings, start};
    }
    pub mod metrics {
        pub use crate::telemetry::metrics::METRICS;
    }
}
pub mod templates {
    pub use crate::templates::{Recognition, TemplateFolders, Templates};
}
pub mod vocabulary {
    pub use crate::vocabulary::{Domain, Property, Value};
    pub mod action {
        pub use crate::vocabulary::action::{Action, Draft, Op, StateQuery};
    }
    pub mod condition {
        pub use crate::vocabulary::condition::{ExpectedState, StateTest};
    }
    pub mod properties {
        pub use crate::vocabulary::properties::PROPERTIES;
    }
    pub mod slug {
        pub use crate::vocabulary::slug::Slug;
    }
    pub mod timing {
        pub use crate::vocabulary::timing::{
            Day, Half, Recurrence, Span, TimeOfDay, TimePoint, Timing, Weekdays,
        };
    }
}
pub mod wire {
    pub use crate::wire::{DeviceTopics, Inbound, MAX_PAYLOAD, MAX_TTL, WireRules, decode};
}
