//! The text of a template, as the engine takes it.

/// Line ends as `\n`, no byte order mark, and `{% generation %}` as a block that is always there: it
/// only marks what an assistant says.
pub(super) fn normalized(source: &str) -> String {
    let source = source.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let mut text = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        text.push_str(before);
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        match tag[..end].trim_matches(['{', '%', '}', '-', '+', ' ', '\n', '\t']) {
            "generation" => text.push_str(&tag[..end].replace("generation", "if true")),
            "endgeneration" => text.push_str(&tag[..end].replace("endgeneration", "endif")),
            _ => text.push_str(&tag[..end]),
        }
        rest = &tag[end..];
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_systems_are_the_same_template() {
        let template = "{% for m in messages %}\n{{ m }}\n{% endfor %}";
        assert_eq!(normalized(template), template);
        assert_eq!(normalized(&format!("\u{feff}{}", template.replace('\n', "\r\n"))), template);
        assert_eq!(normalized(&template.replace('\n', "\r")), template);
    }

    #[test]
    fn generation_is_a_block_without_a_condition() {
        let source = "{% if x %}{%- generation -%}a{% endgeneration%}{% endif %} generation {% raw";
        let expected = "{% if x %}{%- if true -%}a{% endif%}{% endif %} generation {% raw";
        assert_eq!(normalized(source), expected);
    }
}
