//! Python's methods of strings and maps that templates call.

use minijinja::value::{Value, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Calls a method that the engine does not have.
pub(super) fn method(
    state: &State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let called = unknown_method_callback(state, value, name, args);
    match (called, value.as_str()) {
        (Err(error), Some(text)) if error.kind() == ErrorKind::UnknownMethod => {
            string_method(text, name, args)
        }
        (called, _) => called,
    }
}

fn string_method(text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    Ok(match name {
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            text.strip_prefix(prefix).unwrap_or(text).into()
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            text.strip_suffix(suffix).unwrap_or(text).into()
        }
        "rsplit" => {
            let (separator, most): (&str, Option<usize>) = from_args(args)?;
            let most = most.map_or(usize::MAX, |most| most.saturating_add(1));
            let mut parts: Vec<&str> = text.rsplitn(most, separator).collect();
            parts.reverse();
            parts.into_iter().map(Value::from).collect()
        }
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_more_of_pythons_methods() {
        let mut environment = minijinja::Environment::new();
        environment.set_unknown_method_callback(method);
        let render = |source: &str| environment.render_str(source, ()).expect("renders");
        assert_eq!(render("{{ 'a-b-c'.rsplit('-', 1)[0] }}"), "a-b");
        assert_eq!(render("{{ 'a-b'.removeprefix('a-').removesuffix('x') }}"), "b");
        assert_eq!(render("{{ ' a'.strip().title() }}"), "A");
        assert!(environment.render_str("{{ 'a'.fly() }}", ()).is_err());
    }
}
