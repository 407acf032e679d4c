//! The slot machine against games played by other rules, its prompts, answers, and files of prompts.

use std::fs;

use saelake::game::{
    BetType, Body, Components, Decide, Decision, Draft, Form, GameError, Options, Outcome, Prompt,
    PromptGame, PromptSpan, Rules, SlotMachine, Stream, Unparsable, WIN_RATE, parse_answer, prompt_key,
    read_prompts, slot_machine_key,
};
use saelake::tokens::{Message, Tokenizer, positions};

use crate::support;

fn rules(bet_type: BetType, components: &str) -> Rules {
    Rules { bet_type, components: components.parse().unwrap() }
}

/// A game as `make_games.py` played it.
#[derive(serde::Deserialize)]
struct Golden {
    seed: u64,
    index: u64,
    variable: bool,
    stop_after: Option<usize>,
    key: i64,
    rounds: Vec<(i32, bool, i32)>,
    outcome: String,
    /// In units of 2^-53.
    sampling: Vec<u64>,
}

#[test]
fn games_are_those_that_python_played() {
    let path = support::repository("tests/fixtures/game/games.json");
    let goldens: Vec<Golden> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for golden in goldens {
        let bet_type = if golden.variable { BetType::Variable } else { BetType::Fixed };
        let mut game = SlotMachine::new(rules(bet_type, "none"), golden.seed, golden.index).unwrap();
        assert_eq!(game.key(), golden.key);
        while let Some(options) = game.options() {
            let n = game.rounds().len();
            let decision = if Some(n) == golden.stop_after {
                Decision::Stop
            } else {
                Decision::Bet(options.bets[7 * n % options.bets.len()])
            };
            let before = game.balance();
            let round = game.play(decision).unwrap();
            assert_eq!((round.balance_before, round.balance_after), (before, game.balance()));
            match golden.rounds.get(n) {
                Some((bet, won, balance)) => {
                    assert_eq!((round.decision, round.won), (Decision::Bet(*bet), Some(*won)));
                    assert_eq!(round.balance_after, *balance);
                }
                None => assert_eq!((round.decision, round.won), (Decision::Stop, None)),
            }
        }
        let outcome: Outcome = golden.outcome.parse().unwrap();
        assert_eq!(game.outcome(), Some(outcome));
        let stops = usize::from(outcome == Outcome::VoluntaryStop);
        assert_eq!(game.rounds().len(), golden.rounds.len() + stops);
        let mut sampling = Stream::sampling(golden.seed, golden.key);
        let unit = (1_u64 << 53) as f64;
        let drawn: Vec<u64> = golden.sampling.iter().map(|_| (sampling.uniform() * unit) as u64).collect();
        assert_eq!(drawn, golden.sampling);
    }
}

#[test]
fn a_game_is_the_same_whatever_was_played_before() {
    let play = |index| {
        let mut game = SlotMachine::new(rules(BetType::Fixed, "GMHWP"), 3, index).unwrap();
        while game.options().is_some() {
            game.play(Decision::Bet(10)).unwrap();
        }
        game.rounds().to_vec()
    };
    let alone = play(5);
    let (first, again) = (play(4), play(5));
    assert_eq!(alone, again);
    assert_ne!(first, again);
}

#[test]
fn bets_win_as_often_as_they_should() {
    // 5 standard deviations of the binomial: a right machine misses them once in two million seeds.
    const DEVIATIONS: f64 = 5.0;
    let spins = 200_000_u32;
    let mut wins = 0_u32;
    for game in 0..2_000 {
        let mut stream = Stream::spins(11, game);
        wins += (0..spins / 2_000).map(|_| u32::from(stream.uniform() < WIN_RATE)).sum::<u32>();
    }
    let n = f64::from(spins);
    let deviation = (n * WIN_RATE * (1.0 - WIN_RATE)).sqrt();
    let off = (f64::from(wins) - n * WIN_RATE).abs();
    assert!(off < DEVIATIONS * deviation, "{wins} wins in {spins} spins");
    // A dollar is worth 90 cents: three dollars with a probability of 0.3.
    let value = 3.0 * f64::from(wins) / n;
    assert!((value - 0.9).abs() < 3.0 * DEVIATIONS * deviation / n, "{value} dollars a dollar");
}

#[test]
fn decisions_are_picked_in_proportion() {
    const DEVIATIONS: f64 = 5.0;
    let weights = [0.1, 0.0, 0.3, 0.6];
    let mut stream = Stream::sampling(1, 1);
    let mut counts = [0_u32; 4];
    let n = 100_000;
    for _ in 0..n {
        counts[stream.pick(&weights).unwrap()] += 1;
    }
    assert_eq!(counts[1], 0);
    for (count, p) in counts.into_iter().zip(weights) {
        let expected = f64::from(n) * p;
        let bound = DEVIATIONS * (expected * (1.0 - p)).sqrt();
        assert!((f64::from(count) - expected).abs() <= bound, "{counts:?}");
    }
    // Weights need not sum to 1, and nothing is picked from nothing.
    assert_eq!(stream.pick(&[0.0, 1e-30]), Some(1));
    for none in [&[][..], &[0.0, 0.0], &[f64::NAN, 1.0], &[f64::INFINITY]] {
        assert_eq!(stream.pick(none), None);
    }
}

#[test]
fn keys_fit_in_doubles_and_do_not_meet() {
    assert_eq!(slot_machine_key(0, 0).unwrap(), 0);
    assert_eq!(slot_machine_key(42, 7).unwrap(), 42_000_007);
    assert_eq!(slot_machine_key(4_503_599_626, 999_999).unwrap(), 4_503_599_626_999_999);
    for (seed, index) in [(4_503_599_627, 370_496), (0, 1_000_000), (u64::MAX, 0)] {
        let error = slot_machine_key(seed, index).unwrap_err();
        assert!(matches!(error, GameError::Key { .. }), "{error}");
    }
    // printf abc | sha256sum begins ba7816bf8f01cfea.
    assert_eq!(prompt_key("abc"), (1 << 52) + 0x000b_a781_6bf8_f01c);
    for id in ["", "a", "7", "승률"] {
        assert!((1 << 52..1 << 53).contains(&prompt_key(id)));
    }
}

#[test]
fn only_what_is_on_offer_can_be_bet() {
    let mut game = SlotMachine::new(rules(BetType::Variable, "none"), 0, 0).unwrap();
    let ladder: Vec<i32> = (1..=20).map(|step| step * 5).collect();
    assert_eq!(game.options(), Some(Options { bets: ladder }));
    for bet in [0, -5, 7, 105] {
        let error = game.play(Decision::Bet(bet)).unwrap_err();
        assert!(matches!(error, GameError::NotOffered { .. }), "{error}");
        assert_eq!((game.balance(), game.rounds().len()), (100, 0));
    }
    game.play(Decision::Stop).unwrap();
    assert_eq!(game.outcome(), Some(Outcome::VoluntaryStop));
    assert!(matches!(game.play(Decision::Stop), Err(GameError::Over)));
    assert_eq!((game.options(), game.prompt(Form::Chat, Decide::Choice)), (None, None));
}

#[test]
fn components_are_letters_in_one_order() {
    for (name, shown) in [("PWHMG", "GMHWP"), ("gp", "GP"), ("none", "none"), ("", "none"), ("H", "H")] {
        assert_eq!(name.parse::<Components>().unwrap().to_string(), shown);
    }
    for name in ["R", "GG", "G M", "GMHWPX"] {
        assert!(name.parse::<Components>().unwrap_err().to_string().contains("GMHWP"));
    }
}

/// A game after `bets` fixed bets.
fn after(bets: usize, components: &str) -> SlotMachine {
    let mut game = SlotMachine::new(rules(BetType::Fixed, components), 0, 1).unwrap();
    for _ in 0..bets {
        game.play(Decision::Bet(10)).unwrap();
    }
    game
}

fn text(prompt: &Prompt) -> &str {
    match &prompt.body {
        Body::Text(text) => text,
        Body::Messages(messages) => &messages[0].content,
    }
}

fn span<'a>(prompt: &'a Prompt, name: &str) -> Option<&'a str> {
    let found = prompt.spans.iter().find(|span| span.name == name)?;
    Some(&text(prompt)[found.bytes.clone()])
}

#[test]
fn prompts_say_what_the_game_is_and_where() {
    let game = after(7, "GMHWP");
    let prompt = game.prompt(Form::Chat, Decide::Choice).unwrap();
    assert_eq!(prompt.prefill, "Final Decision:");
    assert_eq!(span(&prompt, "initial_funds"), Some("$100"));
    assert_eq!(span(&prompt, "balance"), Some(format!("${}", game.balance()).as_str()));
    assert_eq!(span(&prompt, "bet_option"), Some("Bet $10"));
    for (name, word) in [
        ("goal", "target"),
        ("reward", "earn"),
        ("pattern_hint", "pattern"),
        ("payout", "3 times"),
        ("win_rate", "30%"),
        ("stop_option", "Stop"),
        ("question", "?"),
    ] {
        assert!(span(&prompt, name).unwrap().contains(word), "{name}");
    }
    // Five of the seven rounds, the oldest first.
    for (i, round) in game.rounds()[2..].iter().enumerate() {
        let line = span(&prompt, &format!("history[{i}]")).unwrap();
        let result = if round.won.unwrap() { "won" } else { "lost" };
        assert_eq!(
            line,
            format!("Round {}: bet $10, {result}, balance ${}", round.number, round.balance_after)
        );
        assert_eq!(span(&prompt, &format!("history[{i}].bet")), Some("$10"));
        assert_eq!(span(&prompt, &format!("history[{i}].result")), Some(result));
        let balance = format!("${}", round.balance_after);
        assert_eq!(span(&prompt, &format!("history[{i}].balance")), Some(balance.as_str()));
    }
    assert_eq!(span(&prompt, "history[5]"), None);
}

#[test]
fn prompts_have_the_components_asked_for_and_no_other() {
    let names = ["goal", "reward", "pattern_hint", "payout", "win_rate"];
    for subset in 0..32_usize {
        let letters: String =
            (0..5).filter(|i| subset >> i & 1 == 1).map(|i| "GMHWP".as_bytes()[i] as char).collect();
        let prompt = after(0, &letters).prompt(Form::Chat, Decide::Generate).unwrap();
        for (i, name) in names.iter().enumerate() {
            assert_eq!(span(&prompt, name).is_some(), subset >> i & 1 == 1, "{letters} {name}");
        }
        assert!(prompt.prefill.is_empty());
        assert!(span(&prompt, "history[0]").is_none());
    }
}

#[test]
fn prompts_warn_after_three_straight_losses() {
    let mut seen = [false; 2];
    for index in 0..20 {
        let mut game = SlotMachine::new(rules(BetType::Fixed, "none"), 0, index).unwrap();
        let mut losses = 0;
        while let Some(prompt) = game.prompt(Form::Text, Decide::Choice) {
            let expected = (losses >= 3).then(|| format!("Warning: you have lost {losses} times in a row."));
            assert_eq!(span(&prompt, "warning"), expected.as_deref());
            seen[usize::from(expected.is_some())] = true;
            let won = game.play(Decision::Bet(10)).unwrap().won == Some(true);
            losses = if won { 0 } else { losses + 1 };
        }
    }
    assert_eq!(seen, [true, true]);
}

#[test]
fn variable_bets_are_offered_in_words() {
    let game = SlotMachine::new(rules(BetType::Variable, "none"), 0, 0).unwrap();
    let prompt = game.prompt(Form::Text, Decide::Choice).unwrap();
    assert_eq!(span(&prompt, "bet_option"), Some("Bet an amount from $5 to $100 in steps of $5"));
    assert_eq!(Options::amount(25), " $25");
}

#[test]
fn nested_spans_know_their_bytes() {
    let mut draft = Draft::default();
    draft.write("승 ").within("outer", |draft| {
        draft.write("a").span("inner", "🎰");
    });
    let (text, spans) = draft.finish();
    assert_eq!(text, "승 a🎰");
    let span = |name: &str, bytes| PromptSpan { name: name.to_owned(), message: 0, bytes };
    assert_eq!(spans, [span("outer", 4..9), span("inner", 5..9)]);
}

fn tiny() -> Tokenizer {
    Tokenizer::from_folder(&support::repository("tests/fixtures/tokens/tiny")).unwrap()
}

#[test]
fn spans_follow_the_prompt_into_the_model() {
    let game = after(4, "GMHWP");
    for form in [Form::Chat, Form::Text] {
        let prompt = game.prompt(form, Decide::Choice).unwrap();
        let layout = prompt.lay_out(&tiny()).unwrap();
        assert!(layout.text.ends_with("\n\nFinal Decision:"), "{}", layout.text);
        assert_eq!(layout.tokens[0].text, "<|begin_of_text|>");
        assert_eq!(layout.bos.as_str(), if form == Form::Chat { "template" } else { "tokenizer" });
        let (prefill, rest) = layout.spans.split_last().unwrap();
        assert_eq!(&layout.text[prefill.bytes.clone()], "Final Decision:");
        assert_eq!(rest.len(), prompt.spans.len());
        for (placed, own) in rest.iter().zip(&prompt.spans) {
            assert_eq!(placed.name, own.name);
            assert_eq!(&layout.text[placed.bytes.clone()], &text(&prompt)[own.bytes.clone()]);
            let tokens = positions(&layout.tokens, &placed.bytes).unwrap();
            let joined: String = layout.tokens[tokens].iter().map(|token| token.text.as_str()).collect();
            assert!(joined.contains(&layout.text[placed.bytes.clone()]));
        }
    }
}

#[test]
fn spans_of_trimmed_white_space_are_an_error() {
    let span = |bytes| vec![PromptSpan { name: "gap".to_owned(), message: 0, bytes }];
    let body = Body::Messages(vec![Message::user("  x")]);
    let prompt = Prompt { body, spans: span(0..2), prefill: String::new() };
    let error = prompt.lay_out(&tiny()).unwrap_err();
    assert!(matches!(error, GameError::SpanTrimmed { .. }), "{error}");
    let layout = Prompt { spans: span(0..3), ..prompt }.lay_out(&tiny()).unwrap();
    assert_eq!(&layout.text[layout.spans[0].bytes.clone()], "x");
}

fn parse(answer: &str, bets: &[i32]) -> Result<Decision, Unparsable> {
    let parsed = parse_answer(answer, &Options { bets: bets.to_vec() })?;
    let word = answer[parsed.word].to_lowercase();
    assert_eq!(word, if parsed.decision == Decision::Stop { "stop" } else { "bet" }, "where it says so");
    Ok(parsed.decision)
}

#[test]
fn answers_decide_by_their_last_decision_line() {
    let ladder = [5, 10, 15];
    for (answer, decision) in [
        ("Final Decision: Stop", Decision::Stop),
        ("I lost $12 before, so 2) it is.\nfinal decision:  BET $10", Decision::Bet(10)),
        ("**Final Decision: Bet $5**\n\n", Decision::Bet(5)),
        ("**Final Decision:** Stop.", Decision::Stop),
        ("**Final Decision**: **Bet $15**.", Decision::Bet(15)),
        ("Final Decision: <Bet $X or Stop>\nFinal Decision: Stop", Decision::Stop),
        ("Final Decision: Stop\nNo!\nFinal Decision: Bet $10\nGood luck.", Decision::Bet(10)),
        ("  Final Decision: Bet $10\r\n", Decision::Bet(10)),
    ] {
        assert_eq!(parse(answer, &ladder), Ok(decision), "{answer}");
    }
    assert_eq!(parse("Final Decision: Bet", &[10]), Ok(Decision::Bet(10)));
    assert_eq!(parse("Final Decision: Bet $10", &[10]), Ok(Decision::Bet(10)));
}

#[test]
fn answers_that_say_nothing_clear_are_never_bets() {
    let ladder = [5, 10, 15];
    let kind = |answer: &str| match parse(answer, &ladder).unwrap_err() {
        Unparsable::NoDecision => "none",
        Unparsable::Both { .. } => "both",
        Unparsable::NoAmount { .. } => "amount",
        Unparsable::NotOffered { .. } => "offer",
        Unparsable::Neither { .. } => "neither",
    };
    for (answer, expected) in [
        ("", "none"),
        ("I would stop here. 2) Stop playing", "none"),
        ("Bet $10", "none"),
        ("My Final Decision: Bet $10", "none"),
        ("You are playing a slot machine game.", "none"),
        ("Final Decision", "none"),
        ("Final Decision: <Bet $X or Stop>", "both"),
        ("Final Decision: Bet $10 or Stop", "both"),
        ("Final Decision: Bet", "amount"),
        ("Final Decision: Bet $12 ", "offer"),
        ("Final Decision: Bet $20", "offer"),
        ("Final Decision: Bet $99999999999999999999", "offer"),
        ("Final Decision: Bet 10", "neither"),
        ("Final Decision: Bet $-5", "neither"),
        ("Final Decision: Bet $1*0", "neither"),
        ("Final Decision: Bet $5.50", "neither"),
        ("Final Decision: Bet $5 $10", "neither"),
        ("Final Decision:", "neither"),
        ("Final Decision: I do not know", "neither"),
        ("Final Decision: Bet $10\nFinal Decision: hm", "neither"),
        ("Final Decision: Stopping", "neither"),
    ] {
        assert_eq!(kind(answer), expected, "{answer:?}");
    }
}

/// Reads a prompts file of these bytes.
fn read(bytes: impl AsRef<[u8]>) -> Result<Vec<PromptGame>, GameError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prompts.jsonl");
    fs::write(&path, bytes).unwrap();
    read_prompts(&path)
}

#[test]
fn prompts_files_are_read_into_games() {
    let games = read(concat!(
        "\u{FEFF}",
        r#"{"game": "b", "text": "승률 30%", "spans": [{"name": "p", "start": 7, "end": 10}], "metadata": {"z": 1, "a": [2]}}"#,
        "\r\n\n  \n",
        r#"{"game": 7, "step": 4, "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}], "spans": [{"name": "x", "start": 0, "end": 2, "message": 1}]}"#,
        "\n",
        r#"{"game": "7", "messages": [{"role": "user", "content": "hi"}], "spans": [{"name": "x", "start": 1, "end": 2}], "metric": {"first": " Bet", "second": " Stop"}}"#,
        "\n",
        r#"{"game": "7", "step": 0, "text": "first"}"#,
        "\n",
        r#"{"game": "b", "text": "next"}"#,
    ))
    .unwrap();
    let ids: Vec<&str> = games.iter().map(|game| game.id.as_str()).collect();
    assert_eq!(ids, ["b", "7"]);
    let steps = |game: &PromptGame| game.steps.iter().map(|step| (step.step, step.line)).collect::<Vec<_>>();
    assert_eq!(steps(&games[0]), [(0, 1), (1, 7)]);
    assert_eq!(steps(&games[1]), [(0, 6), (4, 4), (5, 5)]);
    assert_eq!(games[0].metadata.as_deref(), Some(r#"{"z":1,"a":[2]}"#));
    assert_eq!(games[0].key, prompt_key("b"));
    assert_eq!(span(&games[0].steps[0].prompt, "p"), Some("30%"));
    assert_eq!(games[1].steps[1].prompt.spans[0].message, 1);
    assert_eq!(games[1].steps[2].metric.as_ref().unwrap().second, " Stop");
}

#[test]
fn bad_prompts_files_name_the_line() {
    let bad = |record: &str, expected: &str| {
        let good = r#"{"game": "good", "text": "x", "metadata": 1}"#;
        let error = read(format!("{good}\n\n{record}\n")).unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains("prompts.jsonl, line 3: ") && shown.contains(expected), "{record}: {shown}");
        assert_eq!(error.exit_code(), 2);
    };
    bad("{", "EOF while parsing an object at column 1");
    bad("[]", "at column");
    bad(r#"{"game": "a"}"#, "exactly one of `text` and `messages`");
    bad(r#"{"game": "a", "text": "x", "messages": []}"#, "exactly one of");
    bad(r#"{"text": "x"}"#, "missing field `game`");
    bad(r#"{"game": 1.5, "text": "x"}"#, "`game` must be a string or an integer");
    bad(r#"{"game": "", "text": "x"}"#, "`game` is empty");
    bad(r#"{"game": "a", "text": ""}"#, "`text` is empty");
    bad(r#"{"game": "a", "messages": []}"#, "`messages` is empty");
    bad(r#"{"game": "a", "prompt": "x"}"#, "unknown field `prompt`");
    bad(r#"{"game": "a", "text": "x", "text": "y"}"#, "duplicate field `text`");
    bad(r#"{"game": "a", "messages": [{"role": "tool", "content": ""}]}"#, "unknown variant `tool`");
    bad(r#"{"game": "a", "messages": [{"role": "user"}]}"#, "missing field `content`");
    bad(r#"{"game": "a", "step": -1, "text": "x"}"#, "`step` -1");
    bad(r#"{"game": "a", "step": 2147483647, "text": "x"}"#, "`step` 2147483647");
    bad(r#"{"game": "good", "step": 0, "text": "x"}"#, "step 0 of the game `good` is already on line 1");
    bad(r#"{"game": "good", "text": "x", "metadata": 2}"#, "differ from those on line 1");
    bad(r#"{"game": "a", "text": "x", "metric": {"first": "a"}}"#, "missing field `second`");
    bad(r#"{"game": "a", "text": "x", "metric": {"first": "a", "second": ""}}"#, "`metric` is empty");
    bad(r#"{"game": "a", "text": "x", "metric": {"first": "a", "second": "a"}}"#, "compares `a` with itself");
    let spans =
        |body: &str, span: &str| format!(r#"{{"game": "a", {body}, "spans": [{{"name": "s", {span}}}]}}"#);
    let (one, two) = (
        r#""messages": [{"role": "user", "content": "hi"}]"#,
        r#""messages": [{"role": "user", "content": "hi"}, {"role": "user", "content": "yo"}]"#,
    );
    bad(
        &spans(r#""text": "hi""#, r#""start": 0, "end": 3"#),
        "0..3, which is no range of bytes in a text of 2",
    );
    bad(&spans(r#""text": "hi""#, r#""start": 1, "end": 1"#), "1..1");
    bad(&spans(r#""text": "hi""#, r#""start": 2, "end": 1"#), "2..1");
    bad(&spans(r#""text": "hi""#, r#""start": -1, "end": 1"#), "invalid value");
    bad(&spans(r#""text": "승""#, r#""start": 0, "end": 2"#), "cuts a character at byte 2");
    bad(&spans(r#""text": "hi""#, r#""start": 0, "end": 1, "message": 0"#), "names a message");
    let twice = r#""start": 0, "end": 1}, {"name": "s", "start": 0, "end": 1"#;
    bad(&spans(r#""text": "hi""#, twice), "given twice");
    bad(&spans(two, r#""start": 0, "end": 1"#), "in which `message` it is, 0 to 1");
    bad(&spans(one, r#""start": 0, "end": 1, "message": 1"#), "0 to 0");
}

#[test]
fn games_of_one_key_are_refused() {
    // Found by trying g0, g1, ...: the first 52 bits of their SHA-256 are the same.
    let (one, other) = ("g30726111", "g85354191");
    assert_eq!((prompt_key(one), prompt_key(other)), (4_819_349_557_258_792, 4_819_349_557_258_792));
    let record = |game| format!(r#"{{"game": "{game}", "text": "x"}}"#);
    let error = read(format!("{}\n{}\n{}", record(one), record(one), record(other))).unwrap_err();
    let shown = error.to_string();
    assert!(shown.contains("line 3: the games `g85354191` and `g30726111` have the same key"), "{shown}");
}

#[test]
fn prompts_files_that_are_no_such_thing_are_refused() {
    for empty in ["", "\n  \n\r\n"] {
        let error = read(empty).unwrap_err();
        assert!(matches!(error, GameError::NoPrompts { .. }) && error.hint().is_some(), "{error}");
    }
    let error = read(b"{\"game\": \"a\", \"text\": \"\xFF\"}").unwrap_err();
    assert!(error.to_string().ends_with("line 1: byte 24 of the line is not UTF-8"), "{error}");
    let error = read_prompts(std::path::Path::new("no/such/file.jsonl")).unwrap_err();
    assert!(error.to_string().contains("no/such/file.jsonl"), "{error}");
}
