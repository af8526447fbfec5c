use super::*;
use serde_json::json;

fn parse(value: Value) -> Result<Parsed, String> {
    let map = value.as_object().expect("an object").clone();
    Format::Auto.parse(map).map_err(|problem| problem.to_string())
}

fn one(value: Value) -> Example {
    let shown = value.to_string();
    let mut parsed = parse(value).unwrap_or_else(|problem| panic!("{shown}: {problem}"));
    assert_eq!(parsed.examples.len(), 1, "{shown}");
    parsed.examples.remove(0)
}

fn turns(example: &Example) -> Vec<(&str, &str)> {
    example.messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect()
}

#[test]
fn a_question_and_its_answer_are_the_same_in_every_format() {
    let chat = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]);
    let ask = json!([{"role": "user", "content": "q"}]);
    let say = json!([{"role": "assistant", "content": "a"}]);
    let share = json!([{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]);
    for value in [
        json!({"instruction": "q", "output": "a", "judgment": "j"}),
        json!({"instruction": "q", "input": "", "output": "a", "critique": "j"}),
        json!({"instruction": "", "input": "q", "output": "a", "feedback": "j"}),
        json!({"instruction": "q", "history": [], "response": "a", "Judgement": "j"}),
        json!({"question": "q", "answer": "a", "feedback": "j"}),
        json!({"question": "q", "answer": "a", "judgment": "j", "feedback": null}),
        json!({"question": "q", "response": "a", "feedback": "j"}),
        json!({"prompt": "q", "completion": "a", "criticism": "j"}),
        json!({"prompt": "q", "response": "a", "judgment": "j", "label": false}),
        json!({"prompt": ask, "completion": say, "judgment": "j"}),
        json!({"messages": chat, "judgment": "j"}),
        json!({"messages": chat, "feedback": "j", "judgment": "j"}),
        json!({"conversations": chat, "judgment": "j"}),
        json!({"conversations": share, "judgment": "j"}),
        json!({"messages": share, "critique": "j"}),
        json!({"messages": [chat[0], {"role": "Model", "content": "a", "judgment": "j"}]}),
        json!({"messages": [{"role": "USER", "content": ["q"]},
            {"role": "assistant", "content": [{"type": "text", "text": "a"}]}], "judgment": "j"}),
    ] {
        let example = one(value.clone());
        assert_eq!(turns(&example), [("user", "q")], "{value}");
        assert_eq!(
            (example.response.as_str(), example.judgment.as_deref()),
            ("a", Some("j")),
            "{value}"
        );
    }
}

#[test]
fn what_stands_before_a_response_is_used() {
    let example = one(json!({"system": "s", "instruction": "q2", "input": "i", "output": "a",
        "history": [["q1", "a1"]], "judgment": null}));
    let expected = [("system", "s"), ("user", "q1"), ("assistant", "a1"), ("user", "q2\ni")];
    assert_eq!((turns(&example), &example.judgment), (expected.to_vec(), &None));

    let example = one(json!({"tools": [{"name": "tide"}], "system": "s", "messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c"}]},
        {"role": "function", "content": "14:20", "tool_call_id": "c"},
        {"role": "assistant", "content": "a"}]}));
    let expected = [("system", "s"), ("user", "q"), ("assistant", ""), ("tool", "14:20")];
    assert_eq!(turns(&example), expected);
    assert_eq!(
        example.messages[2].fields,
        [("tool_calls".to_owned(), "[{\"id\":\"c\"}]".to_owned())]
    );
    assert_eq!(example.tools.as_deref(), Some("[{\"name\":\"tide\"}]"));

    let same = json!({"system": "s", "messages": [{"role": "developer", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "one"}, "two"]},
        {"role": "assistant", "content": "a"}]});
    assert_eq!(turns(&one(same)), [("system", "s"), ("user", "one\ntwo")]);
}

#[test]
fn a_criticised_pair_is_two_examples() {
    let conversation = |said: &str| json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": said}]);
    for value in [
        json!({"prompt": "q", "chosen": "good", "rejected": "bad", "judgment": "j"}),
        json!({"prompt": "q", "chosen": conversation("good"), "rejected": conversation("bad"),
            "feedback": "j"}),
        json!({"chosen": conversation("good"), "rejected": conversation("bad"), "critique": "j"}),
    ] {
        let parsed = parse(value.clone()).expect("a pair");
        let found: Vec<_> = parsed
            .examples
            .iter()
            .map(|e| (turns(e)[0].1, e.response.as_str(), e.judgment.as_deref()))
            .collect();
        assert_eq!(found, [("q", "good", None), ("q", "bad", Some("j"))], "{value}");
        assert!(parsed.unused.is_empty(), "{value}: {:?}", parsed.unused);
    }
}

#[test]
fn fields_that_nothing_uses_are_named() {
    let parsed = parse(json!({"id": 3, "instruction": "q", "output": "a", "source": "x"}));
    assert_eq!(parsed.expect("good").unused, ["id", "source"]);
    let parsed = parse(json!({"messages": [{"role": "user", "content": "q", "date": 1},
        {"role": "assistant", "content": "a", "reasoning_content": "r"}]}));
    assert_eq!(parsed.expect("good").unused, ["messages[].date", "messages[].reasoning_content"]);
}

#[test]
fn no_bad_response_is_taken_for_a_good_one() {
    let chat = |extra: Value| json!([{"role": "user", "content": "q", "remark": ""}, extra]);
    for (value, expected) in [
        (json!({"instruction": "q", "output": "a", "comment": "Wrong."}), "`comment` looks like"),
        (json!({"instruction": "q", "output": "a", "score": 1}), "`score` looks like"),
        (json!({"instruction": "q", "output": "a", "meta": {"review": "No."}}), "`meta.review`"),
        (json!({"instruction": "q", "output": "a", "label": "bad"}), "`label` looks like"),
        (json!({"instruction": "q", "output": "a", "label": false}), "no judgment"),
        (json!({"prompt": "q", "completion": "a", "label": false}), "no judgment"),
        (
            json!({"prompt": "q", "chosen": "a", "rejected": "b"}),
            "rejected response has no judgment",
        ),
        (json!({"instruction": "q", "output": "a", "judgment": ["Wrong."]}), "must be a string"),
        (
            json!({"instruction": "q", "output": "a", "judgment": "x", "feedback": "y"}),
            "`judgment` and `feedback` both hold",
        ),
        (
            json!({"messages": chat(json!({"role": "assistant", "content": "a", "rating": 1}))}),
            "`messages[1].rating` looks like",
        ),
        (
            json!({"messages": [{"role": "user", "content": "q"},
                {"role": "assistant", "content": "a", "judgment": "Wrong."},
                {"role": "user", "content": "r"}, {"role": "assistant", "content": "b"}]}),
            "`messages[1].judgment` looks like",
        ),
        (
            json!({"messages": chat(json!({"role": "assistant", "content": "a", "weight": 0}))}),
            "weight 0",
        ),
        (
            json!({"messages": chat(json!({"role": "assistant", "content": "a", "train": false}))}),
            "not to be trained on",
        ),
    ] {
        let message = parse(value).expect_err(expected);
        assert!(message.contains(expected), "{message} lacks {expected}");
    }
    let invisible = json!({"prompt": "q", "completion": "a", "judgment": "\u{a0}\u{200b}"});
    assert_eq!(one(invisible).judgment, None);
    let positive = one(json!({"prompt": "q", "completion": "a", "label": true, "score": null}));
    assert_eq!(positive.judgment, None);
    let judged = one(json!({"prompt": "q", "completion": "a", "judgment": "j", "score": 1}));
    assert_eq!(judged.judgment.as_deref(), Some("j"));
}

#[test]
fn wrong_fields_are_listed() {
    let user = json!({"role": "user", "content": "q"});
    let cases = [
        (json!({"text": "x"}), "found `text`; preference needs `prompt`"),
        (json!({"instruction": "x"}), "no field `output`; found `instruction`"),
        (json!({"instruction": "x", "output": 3}), "`output` must be a string, found a number"),
        (json!({"instruction": "x", "output": " "}), "`output` is empty"),
        (json!({"instruction": "x", "output": "y", "history": ["z"]}), "`history` must hold pairs"),
        (json!({"messages": "x"}), "`messages` must be an array of messages, found a string"),
        (json!({"messages": [{"role": "assistant", "content": "a"}]}), "found assistant"),
        (json!({"messages": [{"role": "narrator", "content": "a"}]}), "found \"narrator\""),
        (
            json!({"messages": [{"role": "user"}]}),
            "messages[0].content` must be a string, found null",
        ),
        (json!({"messages": [user, user]}), "found user, user"),
        (
            json!({"messages": [user, {"role": "assistant", "content": "", "tool_calls": [1]}]}),
            "calls a tool",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]},
                {"role": "assistant", "content": "a"}]}),
            "holds \"image_url\": only text",
        ),
        (
            json!({"system": "x", "messages": [{"role": "system", "content": "y"},
                {"role": "assistant", "content": "a"}]}),
            "say different things",
        ),
    ];
    for (value, expected) in cases {
        let message = parse(value).expect_err(expected);
        assert!(message.contains(expected), "{message} lacks {expected}");
    }
}
