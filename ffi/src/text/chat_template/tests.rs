//! Templates that do what templates in files do, each in the fewest words.

use super::*;

const TURNS: &str = "{%- for m in messages -%}<|im_start|>{{ m.role + '\n' + m.content }}<|im_end|>
{% endfor -%}<|im_start|>assistant\n";

fn vocabulary() -> Vocabulary {
    let texts = ["<|im_start|>", "<|im_end|>", "</s>", "<tool|>"];
    let tokens = texts.iter().zip(0..).map(|(text, id)| ((*text).to_owned(), id));
    Vocabulary {
        controls: Arc::new(Controls::new(tokens.collect())),
        bos_token: String::new(),
        eos_token: "</s>".to_owned(),
    }
}

fn open(source: &str) -> Result<ChatTemplate, TemplateError> {
    let now = "2026-01-31T09:05:00".parse().expect("a time");
    ChatTemplate::new(source, "t.jinja".to_owned(), vocabulary(), now)
}

fn example(turns: &[(&str, &str)]) -> Example {
    let messages = turns.iter().map(|(role, content)| Message::new(role, *content)).collect();
    Example::from_messages(messages, "", None)
}

fn pieces(source: &str, example: &Example, judgment: Option<&str>) -> Vec<Piece> {
    open(source).expect("opens").prompt(example, judgment).expect("renders")
}

fn text(source: &str, turns: &[(&str, &str)], judgment: Option<&str>) -> String {
    pieces(source, &example(turns), judgment).iter().map(Piece::text).collect()
}

/// The control tokens that the pieces become.
fn controls(pieces: &[Piece]) -> usize {
    let controls = vocabulary().controls;
    let count = |piece: &Piece| match piece {
        Piece::Template(text) => controls.count(text),
        Piece::Data(_) => 0,
    };
    pieces.iter().map(count).sum()
}

#[test]
fn each_text_may_be_trimmed_in_its_own_way() {
    let source = "{{ messages[0].content }}|{{ messages[1].content | trim }}|\
        {{ messages[2].content.lstrip('\n') }}|{{ messages[3].content.rstrip() }}";
    let turns = [("system", " a\n"), ("user", "\nb "), ("assistant", "\n\nc\n"), ("user", " d ")];
    // The probe has fewer messages.
    let source = format!("{{% if messages|length == 4 %}}{source}{{% else %}}{TURNS}{{% endif %}}");
    assert_eq!(text(&source, &turns, None), " a\n|b|c\n| d");
}

#[test]
fn empty_texts_stay_empty() {
    let source = "{% for m in messages %}{{ m.role }}{% if m.content %}: {{ m.content }}{% endif %};\
        {% endfor %}";
    let turns = [("system", ""), ("user", "Hi."), ("assistant", ""), ("user", "Who barks?")];
    assert_eq!(text(source, &turns, None), "system;user: Hi.;assistant;user: Who barks?;");
}

#[test]
fn thoughts_of_earlier_turns_may_be_taken_out() {
    let source = TURNS.replace("m.content }}", "m.content.split('</think>')[-1].lstrip('\n') }}");
    let turns =
        [("user", "3 + 4?"), ("assistant", "<think>\nAdd.\n</think>\n\n7"), ("user", "So?")];
    let text = text(&source, &turns, None);
    assert!(text.contains("<|im_start|>assistant\n7<|im_end|>"), "{text}");
}

#[test]
fn markup_that_is_typed_is_data_wherever_it_stands() {
    let mut example = example(&[("user", "Write <|im_end|> or </s>. "), ("assistant", "No.")]);
    example.messages[1].fields = vec![(
        "tool_calls".to_owned(),
        r#"[{"type": "function", "function": {"name": "f", "arguments": {"x": "\u003c|im_end|>"}}}]"#
            .to_owned(),
    )];
    example.tools = Some(r#"[{"function": {"description": "ends at <|im_end|>"}}]"#.to_owned());
    let source = "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>\
        {{ m.content | trim }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}<|im_end|>\
        {% endfor %}";
    let pieces = pieces(source, &example, None);
    assert_eq!(controls(&pieces), 4, "{pieces:?}");
    let text: String = pieces.iter().map(Piece::text).collect();
    assert!(text.contains(r#""description": "ends at <|im_end|>"#), "{text}");
    assert!(text.contains(r#""arguments": {"x": "<|im_end|>"}"#), "{text}");
}

#[test]
fn a_template_that_acts_on_typed_markup_is_an_error_that_names_the_message() {
    let source = TURNS.replace("m.content }}", "m.content.split('<|im_end|>')[0] }}");
    let example = example(&[("user", "Hi."), ("user", "Say <|im_end|> now.")]);
    let error = open(&source).expect("opens").prompt(&example, None).expect_err("acts on it");
    assert!(error.is_about_example());
    let error = error.to_string();
    assert!(error.contains("t.jinja") && error.contains("message 2 (role user)"), "{error}");
}

#[test]
fn refusals_are_told_from_faults() {
    let source = TURNS.replace(
        "<|im_start|>{{",
        "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}\
         {% if m.role == 'tool' %}{{ m.content.fly() }}{% endif %}<|im_start|>{{",
    );
    let template = open(&source).expect("opens");
    let error = template.prompt(&example(&[("system", "x")]), None).expect_err("no system");
    assert!(matches!(&error, TemplateError::Refuses { reason, .. } if reason == "no system"));
    assert!(error.is_about_example());
    let error = template.prompt(&example(&[("tool", "x")]), None).expect_err("no such method");
    assert!(matches!(error, TemplateError::Render { .. }) && !error.is_about_example());
    assert!(matches!(open("{% for %}"), Err(TemplateError::Render { .. })));
    open("{{ raise_exception('no chat') }}").expect("is for conversations of another kind");
}

#[test]
fn a_template_without_messages_is_refused_and_one_without_history_is_known() {
    for source in ["", "\n\n", "You are helpful.", "{{ messages | length }}"] {
        assert!(matches!(open(source), Err(TemplateError::NoMessages { .. })), "{source:?}");
    }
    assert!(!open("{{ messages[-1].content }}").expect("opens").keeps_history());
    assert!(open(TURNS).expect("opens").keeps_history());
}

#[test]
fn a_judgment_is_never_lost() {
    let judgment = Some("Greet in Breton.\n");
    let lead = JUDGMENT_LEAD.trim_start();
    let user = text(TURNS, &[("user", "Hi."), ("assistant", "Ho."), ("user", "Bye.")], judgment);
    assert!(user.contains(&format!("Bye.\n\n{lead}Greet in Breton.")), "{user}");
    let system = text(TURNS, &[("system", "Greet.")], judgment);
    assert!(system.contains(&format!("system\nGreet.\n\n{lead}Greet in Breton.")), "{system}");
    let alone = text(TURNS, &[], judgment);
    assert!(alone.starts_with(&format!("<|im_start|>user\n{lead}Greet")), "{alone}");
    let variable = format!("{TURNS}{{{{ judgment }}}}");
    assert!(text(&variable, &[("user", "Hi.")], judgment).ends_with("Greet in Breton.\n"));

    let deaf =
        TURNS.replace("{%- for m in messages -%}", "{% for m in messages if m.role != 'system' %}");
    let template = open(&deaf).expect("opens");
    let error = template.prompt(&example(&[("system", "Greet.")]), judgment).expect_err("is lost");
    assert!(matches!(error, TemplateError::LosesJudgment { .. }));
}

#[test]
fn the_time_is_the_one_that_was_given() {
    let source = format!(
        "{{% if strftime_now is defined %}}{{{{ strftime_now('%F') }}}}{{% endif %}}{TURNS}"
    );
    assert!(text(&source, &[("user", "Hi.")], None).starts_with("2026-01-31<|im_start|>"));
}

#[test]
fn line_ends_and_a_byte_order_mark_are_not_part_of_a_template() {
    let windows = format!("\u{feff}{}", TURNS.replace('\n', "\r\n"));
    let turns = [("user", "Hi.")];
    assert_eq!(text(&windows, &turns, None), text(TURNS, &turns, None));
    let generation =
        TURNS.replace("m.content }}", "m.content }}{% generation %}!{% endgeneration %}");
    assert!(text(&generation, &turns, None).contains("Hi.!<|im_end|>"));
}

#[test]
fn loops_may_be_left_and_words_formatted() {
    let source = "{% for m in messages %}{% if m.content == 'skip' %}{% continue %}{% endif %}\
        {{ '%s: %s' | format(m.role.title(), m.content) }}
{% if m.content == 'stop' %}{% break %}{% endif %}{% endfor %}";
    let turns = [("user", "skip"), ("user", "a"), ("user", "stop"), ("user", "b")];
    assert_eq!(text(source, &turns, None), "User: a\nUser: stop\n");
}

#[test]
fn contents_come_as_parts_where_the_template_reads_parts() {
    let source = "{% for m in messages %}{{ m.role }}:{% for p in m.content %}{% if p.type == 'text' %}\
        {{ p.text }}{% endif %}{% endfor %};{% endfor %}";
    assert_eq!(text(source, &[("user", "Hi."), ("user", "Ho.")], None), "user:Hi.;user:Ho.;");
}

#[test]
fn arguments_of_calls_are_an_object_or_text_as_the_template_reads_them() {
    let call = |arguments: &str| {
        let mut example = example(&[("user", "Hi."), ("assistant", "")]);
        let json = format!(r#"[{{"function": {{"name": "f", "arguments": {arguments}}}}}]"#);
        example.messages[1].fields = vec![("tool_calls".to_owned(), json)];
        example
    };
    let with = |inner: &str| {
        TURNS.replace(
            "<|im_end|>",
            &format!("{{% for c in m.tool_calls %}}{inner}{{% endfor %}}<|im_end|>"),
        )
    };
    let object = with("{{ c.function.arguments.word }}{{ c.function.arguments | tojson }}");
    let joined = with("{{ '=' + c.function.arguments }}");
    for arguments in [r#"{"word": "x"}"#, r#""{\"word\": \"x\"}""#] {
        let example = call(arguments);
        let text =
            |source| -> String { pieces(source, &example, None).iter().map(Piece::text).collect() };
        assert!(text(&object).contains(r#"x{"word": "x"}<|im_end|>"#), "{}", text(&object));
        assert!(text(&joined).contains(r#"={"word":"#), "{}", text(&joined));
    }
}

#[test]
fn fields_and_tools_that_are_not_json_are_named() {
    let mut example = example(&[("user", "Hi.")]);
    example.tools = Some("[".to_owned());
    let error = open(TURNS).expect("opens").prompt(&example, None).expect_err("is no JSON");
    assert!(error.to_string().starts_with("tools is not JSON"), "{error}");
}

#[test]
fn a_prompt_that_opens_a_thought_is_known() {
    let opens = |end: &str| {
        let template = open(&format!("{TURNS}{end}")).expect("opens");
        template.opens_thought().map(str::to_owned)
    };
    assert_eq!(opens("{{ '<think>\\n' }}").as_deref(), Some("<think>\n"));
    assert_eq!(opens("<think>").as_deref(), Some("<think>"));
    assert_eq!(opens("<think>{{ '\\n\\n' }}</think>"), None);
    assert_eq!(opens(""), None);
}
