//! `cutq judge`: answers → calls → replies → judgments.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::console::Console;
use crate::data;
use crate::flags::{DeviceArgs, JudgeArgs, JudgingArgs};
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::judge::{
    Agreement, Answer, CallLog, CommandJudge, Counts, Desk, Forecast, HttpJudge, HumanJudge, Judge,
    Judged, Judging, Limited, ModelJudge, Prompt, Replay, Spec, TrainedJudge, Verdict, ask,
    write_judgments,
};
use crate::output;
use crate::session::model::{device, threads};
use crate::usage::UsageError;

/// What `--json` prints.
#[derive(Serialize)]
struct Summary {
    #[serde(flatten)]
    counts: Counts,
    /// Of the judge with itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    with_itself: Option<Figures>,
    /// Of the judge with a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    with_person: Option<Figures>,
}

#[derive(Serialize)]
struct Figures {
    n: usize,
    agreement: Option<f64>,
    kappa: Option<f64>,
}

/// Runs the command.
pub fn judge(args: &JudgeArgs) -> Result<ExitCode> {
    let console = Console::new(args.quiet);
    if args.judge.judge == Spec::Human(Desk::Terminal) && args.answers.as_os_str() == "-" {
        let message =
            "standard input cannot be both the answers and what human:terminal says of them";
        return Err(UsageError::new(message).into());
    }
    let answers = data::answers(&args.answers).context("cannot read the answers")?;
    let answers: Vec<Arc<Answer>> = answers.into_iter().map(Arc::new).collect();
    cutq_ffi::check_replaceable(&args.out)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    let path = calls_path(&args.out);
    if args.reparse && !path.exists() {
        return Err(UsageError::new(format!(
            "--reparse reads {}, which is not there",
            path.display()
        ))
        .into());
    }
    let mut log = CallLog::open(&path)?;
    let judge = open(&args.judge, &args.device, console)?;
    let prompt = prompt(&args.judge)?;
    let judging = Judging { prompt: &prompt, again: args.judge.again, seed: args.judge.judge_seed };
    let calls = judging.calls(judge.name(), &answers)?;
    let spent = args.judge.price.map_or(0.0, |price| price.of_all(calls.replies(&log)));
    let mut judge = limited(judge, &args.judge, spent);
    if !args.reparse {
        let open = calls.open(&log);
        let forecast = Forecast::of(&open, &log, args.judge.judge.is_model(), args.judge.price);
        console.note(format_args!("judge: {}, replies in {}", judge.name(), path.display()));
        console.note(format_args!("  {forecast}"));
        check_cost(&forecast, spent, args.judge.max_cost)?;
        let interrupt = Interrupt::listen(console, "saving what was received")?;
        let stop = || interrupt.is_asked();
        ask(&mut *judge, &calls, &mut log, console, &stop)?;
        if stop() {
            console.warn("interrupted\nhint: the same command goes on with what was received");
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    let Judged { judgments, counts, with_itself } = calls.read(&log);
    console.note(&counts);
    counts.check(args.judge.max_failed, None)?;
    let with_itself = report(with_itself, "the judge with itself", console);
    let with_person = match &args.check {
        Some(path) => {
            report(compare(path, &answers, &judgments)?, "the judge with a person", console)
        }
        None => None,
    };
    write_judgments(&args.out, judge.name(), &answers, &judgments)?;
    if args.json {
        output::print_json(&Summary { counts, with_itself, with_person })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `judgments.jsonl` → `judgments.calls.jsonl`
fn calls_path(out: &Path) -> PathBuf {
    out.with_extension("calls.jsonl")
}

/// The judge that the flags name.
pub(super) fn open(
    args: &JudgingArgs,
    place: &DeviceArgs,
    console: Console,
) -> Result<Box<dyn Judge>> {
    if let (Some(flag), false) = (args.http.given(), matches!(args.judge, Spec::Http(_))) {
        let message = format!("{flag} has no meaning with a judge that is no server");
        return Err(UsageError::new(message).into());
    }
    if let (Some(_), Spec::Human(_)) = (args.judge_timeout, &args.judge) {
        let message = "--judge-timeout has no meaning with a person, who takes their time";
        return Err(UsageError::new(message).into());
    }
    Ok(match &args.judge {
        Spec::Human(desk) => Box::new(HumanJudge::new(*desk, console)),
        Spec::Http(endpoint) => {
            if let Some(warning) = HttpJudge::warning(endpoint) {
                console.warn(warning);
            }
            Box::new(HttpJudge::new(endpoint, args.http()))
        }
        Spec::Command(command) => Box::new(CommandJudge::new(command, args.timeout())),
        Spec::Replay(path) => Box::new(Replay::open(path)?),
        Spec::Model { model, adapter: Some(adapter) } if TrainedJudge::is_one(adapter)? => {
            if !["auto", "cpu"].contains(&&*place.name) {
                let message = "a judge that was trained here computes on the CPU";
                return Err(UsageError::new(message.to_owned()).into());
            }
            Box::new(TrainedJudge::open(model, adapter, threads(place.threads, console))?)
        }
        Spec::Model { model, adapter } => {
            let n_threads = threads(place.threads, console);
            let device = device(&place.name, n_threads, console)?;
            let asks_for_form = args.judge_template.is_none();
            let place = (device, n_threads);
            Box::new(ModelJudge::open(model, adapter.as_deref(), place, asks_for_form)?)
        }
    })
}

/// The judge within the limit of the flags, of which `spent` is gone.
pub(super) fn limited(judge: Box<dyn Judge>, args: &JudgingArgs, spent: f64) -> Box<dyn Judge> {
    match (args.price, args.max_cost) {
        (Some(price), Some(max_cost)) => Box::new(Limited { judge, price, max_cost, spent }),
        _ => judge,
    }
}

/// What a language model is asked; no other judge is asked in words.
pub(super) fn prompt(args: &JudgingArgs) -> Result<Prompt> {
    let given = [
        (args.criteria.is_some(), "--criteria"),
        (args.judge_template.is_some(), "--judge-template"),
        (args.price.is_some(), "--price"),
    ];
    let given = |n: usize| given.iter().take(n).find(|(is_given, _)| *is_given).copied();
    let refuse = |flag: &str, who: &str| {
        UsageError::new(format!("{flag} has no meaning with a judge that {who}")).into()
    };
    if let (false, Some((_, flag))) = (args.judge.is_model(), given(3)) {
        return Err(refuse(flag, "is no language model"));
    }
    if let Spec::Model { adapter: Some(adapter), .. } = &args.judge
        && TrainedJudge::is_one(adapter)?
    {
        return match given(2) {
            Some((_, flag)) => Err(refuse(flag, "has learned what to look at")),
            None => Ok(Prompt::Trained),
        };
    }
    match &args.judge_template {
        Some(path) => Prompt::template(path),
        None => Prompt::paper(args.criteria.as_deref()),
    }
}

/// Refuses calls that are going to cost too much, beside what is `spent`.
fn check_cost(forecast: &Forecast, spent: f64, max_cost: Option<f64>) -> Result<()> {
    match (forecast.cost, max_cost) {
        (Some(cost), Some(max_cost)) if forecast.calls > 0 && spent + cost > max_cost => {
            let spent = match spent > 0.0 {
                true => format!(", those before have cost {spent:.2}"),
                false => String::new(),
            };
            bail!(
                "the calls will cost about {cost:.2}{spent}, and --max-cost is {max_cost}; none was made"
            )
        }
        _ => Ok(()),
    }
}

/// Says how far two agree, if there is anything to compare.
fn report(agreement: Agreement, who: &str, console: Console) -> Option<Figures> {
    let (n, share, kappa) = (agreement.n(), agreement.share()?, agreement.kappa());
    let words =
        kappa.map_or("none, one of the words never occurs".to_owned(), |k| format!("{k:.2}"));
    console.note(format_args!("{who}: {:.0} % agree of {n}, kappa {words}", 100.0 * share));
    Some(Figures { n, agreement: Some(share), kappa })
}

/// The judge's verdicts beside those of a person, by id.
fn compare(
    path: &Path,
    answers: &[Arc<Answer>],
    judgments: &[Option<crate::judge::Judgment>],
) -> Result<Agreement> {
    let human = data::answers(path).context("cannot read the judgments of --check")?;
    let by_id: HashMap<&str, &Answer> = human.iter().map(|line| (line.id.as_str(), line)).collect();
    let mut agreement = Agreement::default();
    for (answer, judgment) in answers.iter().zip(judgments) {
        let Some(line) = by_id.get(answer.id.as_str()) else { continue };
        if line.response != answer.response {
            bail!("{}: id {:?} is another answer there", path.display(), answer.id);
        }
        let person = Verdict::of_fields(&line.fields).and_then(Verdict::passes);
        let judge = judgment.as_ref().and_then(|judgment| judgment.verdict.passes());
        if let (Some(judge), Some(person)) = (judge, person) {
            agreement.add(judge, person);
        }
    }
    match agreement.n() {
        0 => bail!("{}: no answer of it is among those judged here", path.display()),
        _ => Ok(agreement),
    }
}
