use super::*;

fn open(source: &str) -> Result<ChatTemplate, TemplateError> {
    let now = "2026-01-31T09:05:00".parse().expect("a time");
    let tokens = ["<s>", "</s>"].map(str::to_owned);
    ChatTemplate::of_source(source, "test".to_owned(), tokens, now)
}

fn template(source: &str) -> ChatTemplate {
    open(source).unwrap_or_else(|error| panic!("{source}: {error}"))
}

fn example(messages: &[(&str, &str)]) -> Example {
    let messages = messages.iter().map(|(role, content)| Message::new(role, *content));
    Example::from_messages(messages.collect(), "", None)
}

/// The prompt with data in brackets.
fn shown(source: &str, example: &Example, judgment: Option<&str>) -> Result<String, String> {
    let pieces = template(source).prompt(example, judgment).map_err(|error| error.to_string())?;
    let show = |piece: &Piece| match piece {
        Piece::Data(text) => format!("[{text}]"),
        Piece::Template(text) => text.clone(),
    };
    Ok(pieces.iter().map(show).collect())
}

const PLAIN: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}<a>";

#[test]
fn each_text_may_be_trimmed_or_not() {
    let chat = example(&[("system", "s\n"), ("user", " q\n"), ("assistant", "a "), ("user", "r")]);
    for (source, expected) in [
        (PLAIN, "<system>[s\n]</><user>[ q\n]</><assistant>[a ]</><user>[r]</><a>"),
        (
            "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</>{% endfor %}<a>",
            "<system>[s]</><user>[q]</><assistant>[a]</><user>[r]</><a>",
        ),
        (
            "{% for m in messages %}<{{ m.role }}>{{ m.content if m.role == 'system' else \
             m.content.strip() }}</>{% endfor %}<a>",
            "<system>[s\n]</><user>[q]</><assistant>[a]</><user>[r]</><a>",
        ),
        (
            "{% for m in messages %}<{{ m.role }}>{{ m.content.lstrip() }}</>{% endfor %}<a>",
            "<system>[s\n]</><user>[q\n]</><assistant>[a ]</><user>[r]</><a>",
        ),
    ] {
        assert_eq!(shown(source, &chat, None).as_deref(), Ok(expected));
    }
    let judged = shown("{{ messages[-1].content | trim }}<a>", &chat, Some("No.\n")).expect("fine");
    assert!(judged.ends_with("judgment of it:\nNo.]<a>"), "{judged}");
}

#[test]
fn what_is_empty_stays_empty() {
    let source = "{% for m in messages %}<{{ m.role }}>{% if m.content %}: {{ m.content }}{% endif %}\
                  {% endfor %}<a>";
    let chat = example(&[("system", ""), ("user", "q"), ("assistant", ""), ("user", "r")]);
    assert_eq!(
        shown(source, &chat, None).as_deref(),
        Ok("<system><user>: [q]<assistant><user>: [r]<a>")
    );
}

#[test]
fn thoughts_of_earlier_turns_may_be_left_out() {
    let chat = example(&[
        ("user", "q"),
        ("assistant", "<think>\nhm\n</think>\n\n7"),
        ("user", "say </think>"),
    ]);
    let source = "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}\
        {{ m.content.split('</think>')[-1].lstrip('\n') }}{% else %}{{ m.content }}{% endif %}\
        {% endfor %}<a>";
    let expected = "<user>[q]<assistant>[7]<user>[say </think>]<a>";
    assert_eq!(shown(source, &chat, None).as_deref(), Ok(expected));
    let kept = shown(PLAIN, &chat, None).expect("keeps them");
    assert!(kept.contains("<assistant><think>[\nhm\n]</think>[\n\n7]</>"), "{kept}");
}

#[test]
fn tools_and_calls_reach_the_template_and_stay_data() {
    let source = "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<{{ m.role }}>\
        {{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}\
        {{ c.function.arguments | tojson }}{% endfor %}{% endfor %}<a>";
    let call = r#"[{"id":"1","function":{"name":"tide","arguments":"{\"port\": \"<|end|>\"}"}}]"#;
    let mut chat = example(&[("user", "q"), ("assistant", ""), ("tool", "14:20")]);
    chat.messages[1].fields = vec![("tool_calls".to_owned(), call.to_owned())];
    chat.tools = Some(r#"[{"name": "tide", "a": 1}]"#.to_owned());
    let expected = r#"[{"name": "tide", "a": 1}]<user>[q]<assistant>tide{"port": "[<|end|>]"}<tool>[14:20]<a>"#;
    assert_eq!(shown(source, &chat, None).as_deref(), Ok(expected));
    let joined = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}\
        {{ '@' + c.function.arguments }}{% endfor %}{% endfor %}";
    assert_eq!(
        shown(joined, &chat, None).as_deref(),
        Ok("[q]@[{\"port\": \"<|end|>\"}][14:20]"),
        "a template that wants the arguments as text"
    );
}

#[test]
fn a_judgment_is_never_lost() {
    for (messages, expected) in [
        (&[("system", "s"), ("assistant", "a")][..], "<assistant>[a\n\nThe response should"),
        (&[("system", "s")], "<system>[s\n\nThe response should"),
        (&[("user", "q"), ("assistant", "a")], "<user>[q\n\nThe response should"),
        (&[], "<user>[The response should"),
    ] {
        let judged = shown(PLAIN, &example(messages), Some("No.")).expect("takes any role");
        assert!(judged.contains(expected) && judged.contains("\nNo.]"), "{judged}");
    }
    let first = "{{ messages[0].content }}<a>";
    let chat = example(&[("system", "s"), ("user", "q")]);
    let error = shown(first, &chat, Some("No.")).expect_err("only the first message is printed");
    assert!(error.contains("does not print the judgment"), "{error}");
    let own = "{{ messages[-1].content }}{% if judgment %}({{ judgment }}){% endif %}<a>";
    assert_eq!(shown(own, &chat, Some("No.")).as_deref(), Ok("[q]([No.])<a>"));
}

#[test]
fn what_a_template_does_wrong_is_said() {
    for silent in ["You are helpful.", "", "{{ bos_token }}<a>"] {
        assert!(matches!(open(silent), Err(TemplateError::Silent { .. })), "{silent}");
    }
    assert!(matches!(open("{% for %}"), Err(TemplateError::Render { .. })));
    let strict = "{% if messages[0].role != 'user' %}{{ raise_exception('ask first') }}{% endif %}\
                  {{ messages[-1].content }}";
    let error = shown(strict, &example(&[("system", "s"), ("user", "q")]), None);
    assert!(error.expect_err("refuses").ends_with("refuses this conversation: ask first"));
    let upper =
        "{% for m in messages %}{{ m.content if loop.first else m.content | upper }}|{% endfor %}";
    let error = shown(upper, &example(&[("user", "q"), ("user", "r")]), None);
    assert!(error.expect_err("rewrites").ends_with("rewrites the text of message 1"));
}

#[test]
fn markup_and_time_are_the_templates() {
    let source = "{{ bos_token }}{{ strftime_now('%Y') }}{% generation %}{{ messages[0].content }}\
                  {% endgeneration %}{{ eos_token }}";
    let said = shown(source, &example(&[("user", "</s>")]), None);
    assert_eq!(said.as_deref(), Ok("<s>2026[</s>]</s>"));
}
