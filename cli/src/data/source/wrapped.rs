//! A list of examples inside one object, as many programs save it: `{"version": 1, "data": […]}`.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::items::{Item, newlines};

/// The elements of the one list of objects that the object `item` holds; `None` if it holds none or
/// several.
pub(crate) fn wrapped(item: Item<'_>) -> Option<Vec<Item<'_>>> {
    let fields: BTreeMap<String, &RawValue> = item.parse().ok()?;
    let mut lists = fields.values().filter_map(|value| objects(item, value));
    let only = lists.next()?;
    lists.next().is_none().then_some(only)
}

/// The elements of `value`, if it is a list of objects and of nothing else.
fn objects<'a>(item: Item<'a>, value: &'a RawValue) -> Option<Vec<Item<'a>>> {
    let list: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
    let (mut line, mut counted) = (item.line, 0);
    let mut elements = Vec::with_capacity(list.len());
    for element in list {
        // A raw value borrows from the item's text, so the distance of the two is its offset.
        let offset = element.get().as_ptr() as usize - item.text.as_ptr() as usize;
        line += newlines(&item.text.as_bytes()[counted..offset]);
        counted = offset;
        elements.push(Item { line, text: element.get() });
    }
    let all = elements.iter().all(|element| element.text.starts_with('{'));
    (all && !elements.is_empty()).then_some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_list_of_objects_is_found_with_its_lines() {
        let text =
            "{\"version\": 1, \"tags\": [\"x\"],\n \"rows\": [\n  {\"a\": 1},\n  {\"b\": 2}]}";
        let found = wrapped(Item { line: 3, text }).expect("one list");
        let found: Vec<_> = found.iter().map(|item| (item.line, item.text)).collect();
        assert_eq!(found, [(5, "{\"a\": 1}"), (6, "{\"b\": 2}")]);
        for none in ["{\"a\": []}", "{\"a\": [1]}", "{\"a\": [{}], \"b\": [{}]}", "[{}]"] {
            assert!(wrapped(Item { line: 1, text: none }).is_none(), "{none}");
        }
    }
}
