//! How well a real model turns commands into actions: 60 commands that the local grammar leaves, in
//! a home of 20 devices.
//!
//! `cargo bench -p sayso-benches --bench models -- --url http://localhost:8080/v1 [--model NAME]
//! [--api openai] [--large]` prints one line per command and a summary: right, wrong, asked back,
//! silent, seconds and tokens. A model of less than four billion parameters is first given the
//! aptitude test; one that does not pass has its actions asked back, as by the daemon. `--replay
//! FILE` judges the answers of an earlier run's output again, without a model. Without either it
//! only checks its own commands.

#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::header::HeaderMap;
use sayso::testing::command::phrase::Phrase;
use sayso::testing::grammar::LocalGrammar;
use sayso::testing::home::Home;
use sayso::testing::home::device::{Area, Device, Kind};
use sayso::testing::home::permit::PermitRequest;
use sayso::testing::home::rights::Rights;
use sayso::testing::home::state::State;
use sayso::testing::prompt::aptitude::{AptitudeScore, is_required, questions};
use sayso::testing::prompt::{Composer, answer, is_related};
use sayso::testing::provider::http::{Endpoint, Trust};
use sayso::testing::provider::price::Limits;
use sayso::testing::provider::{APIS, AptitudeTest, Settings, Structure, Timeouts, stated_in};
use sayso::testing::vocabulary::Value;
use sayso::testing::vocabulary::action::{Action, Draft, Op};
use sayso::testing::vocabulary::slug::Slug;

/// Areas and their devices: identifier, kind.
const HOME: [(&str, &[(&str, &str)]); 6] = [
    (
        "living_room",
        &[
            ("sofa_lamp", "light"),
            ("ceiling_light", "light"),
            ("living_blinds", "cover"),
            ("television", "media_player"),
            ("living_heating", "climate"),
        ],
    ),
    (
        "kitchen",
        &[
            ("kitchen_light", "light"),
            ("kitchen_radio", "media_player"),
            ("coffee_machine", "switch"),
            ("kitchen_fan", "fan"),
        ],
    ),
    (
        "bedroom",
        &[
            ("bedside_lamp", "light"),
            ("bedroom_blinds", "cover"),
            ("bedroom_heating", "climate"),
        ],
    ),
    (
        "office",
        &[
            ("desk_lamp", "light"),
            ("printer", "switch"),
            ("office_fan", "fan"),
        ],
    ),
    ("hall", &[("hall_light", "light"), ("front_door", "lock")]),
    (
        "garden",
        &[
            ("garden_lights", "light"),
            ("pump", "switch"),
            ("awning", "cover"),
        ],
    ),
];

/// The effect of a right answer.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// Sets a word.
    Word(&'static str),
    /// Sets a number between these.
    Between(f64, f64),
    Up,
    Down,
    Query,
    /// No action at all.
    Nothing,
}

/// A command, the area it comes from, and its right answer.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Expected,
);

use Expected::{Between, Down, Nothing, Query, Up, Word};

const CASES: [Case; 60] = [
    (
        "it's rather gloomy by the sofa, do something about it",
        "living_room",
        "sofa_lamp",
        "power|brightness",
        Up,
    ),
    (
        "the sofa lamp is blinding me",
        "",
        "sofa_lamp",
        "brightness",
        Down,
    ),
    (
        "nobody needs the sofa lamp any longer",
        "",
        "sofa_lamp",
        "power",
        Word("off"),
    ),
    (
        "give the ceiling light about a third of its strength",
        "living_room",
        "ceiling_light",
        "brightness",
        Between(30.0, 36.0),
    ),
    (
        "I could use the ceiling light right now",
        "",
        "ceiling_light",
        "power",
        Word("on"),
    ),
    (
        "the ceiling light should be barely glowing",
        "",
        "ceiling_light",
        "brightness",
        Between(1.0, 20.0),
    ),
    (
        "let some daylight through the living room blinds",
        "",
        "living_blinds",
        "position",
        Between(20.0, 100.0),
    ),
    (
        "I don't want the neighbours to see through the living blinds",
        "",
        "living_blinds",
        "position",
        Between(0.0, 10.0),
    ),
    (
        "hold the living blinds right where they are",
        "",
        "living_blinds",
        "position",
        Query,
    ),
    (
        "the television is much too loud for the baby",
        "",
        "television",
        "volume|mute",
        Down,
    ),
    (
        "I can hardly hear the television",
        "",
        "television",
        "volume",
        Up,
    ),
    (
        "shut the television up completely",
        "",
        "television",
        "mute",
        Word("on"),
    ),
    (
        "I'm finished with the television for tonight",
        "",
        "television",
        "power|playback",
        Word("off"),
    ),
    (
        "the living heating could do with being at twenty-one",
        "",
        "living_heating",
        "temperature",
        Between(21.0, 21.0),
    ),
    (
        "my feet are cold, nudge the living heating",
        "",
        "living_heating",
        "temperature",
        Up,
    ),
    (
        "it is like a sauna, calm the living heating down",
        "",
        "living_heating",
        "temperature",
        Down,
    ),
    (
        "I'm about to cook, so I need the kitchen light",
        "",
        "kitchen_light",
        "power",
        Word("on"),
    ),
    (
        "cooking is over, the kitchen light may rest",
        "",
        "kitchen_light",
        "power",
        Word("off"),
    ),
    (
        "kitchen light to three quarters, would you",
        "",
        "kitchen_light",
        "brightness",
        Between(74.0, 76.0),
    ),
    (
        "some background noise from the kitchen radio would be nice",
        "",
        "kitchen_radio",
        "power|playback",
        Word("on"),
    ),
    (
        "this tune on the kitchen radio is awful, get past it",
        "",
        "kitchen_radio",
        "playback",
        Word("next"),
    ),
    (
        "the kitchen radio should hold on for a second",
        "",
        "kitchen_radio",
        "playback",
        Word("paused"),
    ),
    (
        "the kitchen radio is drowning out our talk",
        "",
        "kitchen_radio",
        "volume|mute",
        Down,
    ),
    (
        "get the coffee machine warmed up",
        "",
        "coffee_machine",
        "power",
        Word("on"),
    ),
    (
        "I've had enough caffeine, no more coffee machine",
        "",
        "coffee_machine",
        "power",
        Word("off"),
    ),
    (
        "the pan is smoking, get the kitchen fan going",
        "",
        "kitchen_fan",
        "power|speed",
        Word("on"),
    ),
    (
        "the kitchen fan is roaring, take it back a little",
        "",
        "kitchen_fan",
        "speed",
        Down,
    ),
    (
        "kitchen fan flat out please, it stinks",
        "",
        "kitchen_fan",
        "speed",
        Between(95.0, 100.0),
    ),
    (
        "I'd like to read in bed, bedside lamp",
        "bedroom",
        "bedside_lamp",
        "power",
        Word("on"),
    ),
    (
        "time to sleep, bedside lamp",
        "bedroom",
        "bedside_lamp",
        "power",
        Word("off"),
    ),
    (
        "the bedside lamp could be cosier, say ten percent",
        "",
        "bedside_lamp",
        "brightness",
        Between(10.0, 10.0),
    ),
    (
        "wake me gently: bedroom blinds up a crack, a tenth or so",
        "",
        "bedroom_blinds",
        "position",
        Between(5.0, 20.0),
    ),
    (
        "bedroom blinds all the way down, the moon is bright",
        "",
        "bedroom_blinds",
        "position",
        Between(0.0, 0.0),
    ),
    (
        "the bedroom blinds should be half and half",
        "",
        "bedroom_blinds",
        "position",
        Between(45.0, 55.0),
    ),
    (
        "sleeping is better at seventeen, tell the bedroom heating",
        "",
        "bedroom_heating",
        "temperature",
        Between(17.0, 17.0),
    ),
    (
        "I sweat at night, bedroom heating a touch lower",
        "",
        "bedroom_heating",
        "temperature",
        Down,
    ),
    (
        "the desk lamp is needed, I have to sign something",
        "",
        "desk_lamp",
        "power",
        Word("on"),
    ),
    (
        "my eyes hurt from the desk lamp, soften it",
        "",
        "desk_lamp",
        "brightness",
        Down,
    ),
    (
        "full power on the desk lamp, I'm soldering",
        "",
        "desk_lamp",
        "brightness|power",
        Between(95.0, 100.0),
    ),
    (
        "wake the printer, I have something to print",
        "",
        "printer",
        "power",
        Word("on"),
    ),
    (
        "nothing left to print, so the printer can go to sleep",
        "",
        "printer",
        "power",
        Word("off"),
    ),
    (
        "a bit of air from the office fan would help",
        "office",
        "office_fan",
        "power|speed",
        Word("on"),
    ),
    (
        "papers are flying around because of the office fan",
        "",
        "office_fan",
        "power|speed",
        Down,
    ),
    (
        "guests are at the door, light the hall up: hall light",
        "",
        "hall_light",
        "power",
        Word("on"),
    ),
    (
        "everyone is in, the hall light is wasted",
        "",
        "hall_light",
        "power",
        Word("off"),
    ),
    (
        "hall light at two thirds, not more",
        "",
        "hall_light",
        "brightness",
        Between(64.0, 68.0),
    ),
    (
        "did anybody remember to bolt the front door",
        "",
        "front_door",
        "lock",
        Query,
    ),
    (
        "we're leaving, secure the front door",
        "",
        "front_door",
        "lock",
        Word("locked"),
    ),
    (
        "the garden lights would look lovely now",
        "",
        "garden_lights",
        "power",
        Word("on"),
    ),
    (
        "stop bothering the hedgehogs with the garden lights",
        "",
        "garden_lights",
        "power",
        Word("off"),
    ),
    (
        "the pond looks green, run the pump",
        "",
        "pump",
        "power",
        Word("on"),
    ),
    (
        "the pump is keeping me awake",
        "",
        "pump",
        "power",
        Word("off"),
    ),
    (
        "the sun is burning on the terrace, roll out the awning",
        "",
        "awning",
        "position",
        Between(50.0, 100.0),
    ),
    (
        "a storm is coming, the awning had better go in",
        "",
        "awning",
        "position",
        Between(0.0, 30.0),
    ),
    (
        "have I left the coffee machine running by any chance",
        "",
        "coffee_machine",
        "power",
        Query,
    ),
    ("what is the capital of Norway", "", "", "", Nothing),
    ("order two large pizzas", "", "", "", Nothing),
    ("call my mother", "", "", "", Nothing),
    (
        "switch the swimming pool heater to warm",
        "",
        "",
        "",
        Nothing,
    ),
    ("remind me to buy milk tomorrow", "", "", "", Nothing),
];

/// The result of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    AskedBack,
    Silent,
}

fn slug(text: &str) -> Slug {
    Slug::new(text).expect("a plain word is an identifier")
}

fn home() -> Home {
    let areas = HOME.iter().map(|(id, _)| Area {
        id: slug(id),
        name: id.replace('_', " "),
        aliases: Vec::new(),
        floor: None,
    });
    let devices = HOME.iter().flat_map(|(area, devices)| {
        devices.iter().map(|(id, kind)| Device {
            area: Some(slug(area)),
            ..Device::new(slug(id), Kind::new(slug(kind)))
        })
    });
    Home::new(
        areas.collect(),
        devices.collect(),
        Rights::default(),
        "sayso",
    )
    .expect("the names of the benchmark's home differ")
}

fn fits(action: &Action, expected: Expected) -> bool {
    let number = match &action.value {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    let word = match &action.value {
        Some(Value::Text(word)) => Some(word.as_str()),
        Some(Value::Flag(true)) => Some("on"),
        Some(Value::Flag(false)) => Some("off"),
        _ => None,
    };
    let is_on = word == Some("on");
    match expected {
        Word(wanted) => {
            let is_same = word == Some(wanted);
            let starts = wanted == "on" && (word == Some("playing") || number > Some(0.0));
            let stops = wanted == "off" && matches!(word, Some("stopped" | "paused"));
            action.op == Op::Set && (is_same || starts || stops)
        }
        Between(low, high) => {
            let is_full = high >= 100.0 && is_on;
            action.op == Op::Set && (number.is_some_and(|n| (low..=high).contains(&n)) || is_full)
        }
        Up => action.op == Op::Increase || (action.op == Op::Set && (is_on || number > Some(50.0))),
        Down => {
            let is_mute = action.property.name() == "mute";
            let is_off = word == Some(if is_mute { "on" } else { "off" });
            let is_less = is_off || number.is_some_and(|n| n < 50.0);
            action.op == Op::Decrease || (action.op == Op::Set && is_less)
        }
        Query => matches!(action.op, Op::Query | Op::Stop),
        Nothing => false,
    }
}

/// The parts that decide whether a draft is executed.
struct Judge {
    home: Home,
    grammar: LocalGrammar,
    /// Whether the model has passed the aptitude test, or needs none.
    is_apt: bool,
}

/// Returns the verdict on a draft, as the daemon treats one of a small model.
fn judge(case: &Case, draft: &Draft, judge: &Judge, phrase: &Phrase) -> Verdict {
    let (_, _, device, properties, expected) = *case;
    let Judge {
        home,
        grammar,
        is_apt,
    } = judge;
    if draft.question.is_some() {
        return Verdict::AskedBack;
    }
    if draft.actions.is_empty() {
        return match expected {
            Nothing => Verdict::Right,
            _ => Verdict::Silent,
        };
    }
    let context = PermitRequest {
        source: "bench",
        command: "1",
        confirmed: true,
        now: sayso::testing::clock::now(),
        speech: grammar.speech(phrase),
    };
    if home.permit(draft, &State::default(), context).is_err() {
        return Verdict::Silent;
    }
    let acting = draft.actions.iter().filter(|action| action.op != Op::Query);
    if !is_apt && acting.clone().next().is_some() {
        return Verdict::AskedBack;
    }
    let devices = acting.map(|action| action.device.as_str());
    let is_supported = grammar.supports(phrase, home, &draft.actions) == Some(true);
    if !is_related(phrase, home, devices) || !is_supported {
        return Verdict::AskedBack;
    }
    let is_right = draft.actions.iter().all(|action| {
        action.device == device
            && properties.split('|').any(|p| p == action.property.name())
            && fits(action, expected)
    });
    if is_right {
        Verdict::Right
    } else {
        Verdict::Wrong
    }
}

/// The options of the command line.
struct Options {
    url: Option<String>,
    /// The output of an earlier run.
    replay: Option<String>,
    model: String,
    api: String,
    is_small: bool,
}

fn options() -> Options {
    let mut options = Options {
        url: None,
        replay: None,
        model: "model".to_owned(),
        api: "openai".to_owned(),
        is_small: true,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--url" => options.url = arguments.next(),
            "--replay" => options.replay = arguments.next(),
            "--model" => options.model = arguments.next().unwrap_or_default(),
            "--api" => options.api = arguments.next().unwrap_or_default(),
            "--large" => options.is_small = false,
            _ => {}
        }
    }
    options
}

fn settings(options: &Options, url: String) -> Option<Settings> {
    let api = APIS.into_iter().find(|spec| spec.name == options.api)?;
    Some(Settings {
        name: "measured".to_owned(),
        api,
        base_url: url,
        model: options.model.clone(),
        key: None,
        key_header: None,
        headers: HeaderMap::new(),
        structure: Structure::Schema,
        reasoning_effort: None,
        max_output_tokens: 1024,
        requests_per_minute: None,
        tokens_per_minute: None,
        concurrency: NonZeroUsize::MIN,
        timeouts: Timeouts::LOCAL,
        prices: None,
        weight: None,
        spend: Limits::default(),
        is_small: options.is_small,
        trusted: false,
        aptitude_test: AptitudeTest::IfSmall,
        probe: false,
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    let home = home();
    for (phrase, _, device, ..) in &CASES {
        let is_known = device.is_empty() || home.devices().iter().any(|d| d.id.as_str() == *device);
        assert!(is_known, "{phrase}: no device {device}");
    }
    let options = options();
    let mut judge = Judge {
        home,
        is_apt: true,
        grammar: LocalGrammar::new(&sayso::testing::grammar::Settings::default())
            .expect("the built-in languages are sound"),
    };
    if let Some(file) = &options.replay {
        return replay(file, judge);
    }
    let Some(url) = options.url.clone() else {
        println!(
            "{} commands are sound; give --url to ask a model",
            CASES.len()
        );
        return ExitCode::SUCCESS;
    };
    let Some(settings) = settings(&options, url) else {
        println!("there is no API `{}`", options.api);
        return ExitCode::FAILURE;
    };
    let endpoint = match Endpoint::new(&settings, Trust::default()) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(score) = aptitude(&endpoint, &options.model).await {
        judge.is_apt = score.passes();
        println!("{}", shown(score));
    }
    run(&endpoint, &judge).await;
    ExitCode::SUCCESS
}

const FAILED: &str = "aptitude test: not passed";

fn shown(score: AptitudeScore) -> String {
    let result = if score.passes() {
        "aptitude test: passed"
    } else {
        FAILED
    };
    format!("{result}, {} of {} right", score.right, score.of)
}

/// Gives the aptitude test to a model that needs it.
async fn aptitude(endpoint: &Endpoint, model: &str) -> Option<AptitudeScore> {
    let size = match stated_in(model) {
        None => endpoint.listed_size().await.ok().flatten(),
        stated => stated,
    };
    println!("parameters: {size:?}");
    if !size.is_some_and(is_required) {
        return None;
    }
    let mut answers = Vec::new();
    for question in questions() {
        let answer = endpoint.call(&question, Duration::from_mins(1)).await;
        answers.push(answer.ok().map(|completion| completion.body));
    }
    Some(AptitudeScore::of(&answers))
}

fn phrase_of(case: &Case) -> Phrase {
    let area = Some(case.1).filter(|area| !area.is_empty());
    Phrase::new(case.0, area, None)
}

fn verdict_on(case: &Case, body: &str, with: &Judge) -> Verdict {
    let draft = answer::read(body);
    draft.map_or(Verdict::Silent, |draft| {
        judge(case, &draft, with, &phrase_of(case))
    })
}

/// Judges the answers in the output of an earlier run.
fn replay(file: &str, mut judge: Judge) -> ExitCode {
    let Ok(output) = std::fs::read_to_string(file) else {
        println!("{file} cannot be read");
        return ExitCode::FAILURE;
    };
    judge.is_apt = !output.lines().any(|line| line.starts_with(FAILED));
    let mut verdicts = Vec::new();
    for case in &CASES {
        let line = output.lines().find(|line| line.contains(case.0));
        let body = line.and_then(|line| line.find('{').map(|at| &line[at..]));
        let body = body.unwrap_or_default();
        let verdict = verdict_on(case, body, &judge);
        println!("{verdict:<10?} {:<58} {body}", case.0);
        verdicts.push(verdict);
    }
    println!("\n{}", summary(&verdicts));
    ExitCode::SUCCESS
}

fn summary(verdicts: &[Verdict]) -> String {
    let count = |verdict| verdicts.iter().filter(|v| **v == verdict).count();
    format!(
        "right {}, wrong {}, asked back {}, silent {} of {}",
        count(Verdict::Right),
        count(Verdict::Wrong),
        count(Verdict::AskedBack),
        count(Verdict::Silent),
        CASES.len(),
    )
}

async fn run(endpoint: &Endpoint, judge: &Judge) {
    let composer = Composer::default();
    let mut verdicts = Vec::new();
    let mut times = Vec::new();
    let mut tokens = (0, 0);
    for case in &CASES {
        let prompt = composer.compose(&phrase_of(case), &judge.home, "bench");
        let begun = sayso::testing::clock::now();
        let completion = endpoint.call(&prompt, Duration::from_mins(1)).await;
        let took = begun.elapsed();
        let (verdict, shown) = match completion {
            Err(error) => (Verdict::Silent, error.to_string()),
            Ok(completion) => {
                tokens.0 += completion.usage.input;
                tokens.1 += completion.usage.output;
                (verdict_on(case, &completion.body, judge), completion.body)
            }
        };
        println!(
            "{verdict:<10?} {:>6.2} s  {:<58} {shown}",
            took.as_secs_f64(),
            case.0
        );
        verdicts.push(verdict);
        times.push(took);
    }
    times.sort_unstable();
    println!(
        "\n{}; p50 {:.1} s, p90 {:.1} s, max {:.1} s; tokens in {}, out {}",
        summary(&verdicts),
        times[times.len() / 2].as_secs_f64(),
        times[times.len() * 9 / 10].as_secs_f64(),
        times[times.len() - 1].as_secs_f64(),
        tokens.0,
        tokens.1,
    );
}
