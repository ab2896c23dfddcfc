//! Form bodies with brackets (`items[0][price]=price_1`), read into a tree.

use std::collections::BTreeMap;

use crate::fault::Fault;

/// A value of the form: text, or named (or numbered) values below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Text(String),
    Map(Fields),
}

/// The values below a name. Elements of lists have their position as name: see [`in_order`].
pub(crate) type Fields = BTreeMap<String, Node>;

/// How deep names may go: more than any request of Stripe has.
const DEEPEST: usize = 12;

/// Reads pairs of a query string or a form body into a tree.
pub(crate) fn decode(text: &str) -> Result<Fields, Fault> {
    let mut fields = Fields::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let path = path_of(&name).ok_or_else(|| Fault::invalid(format!("Invalid parameter name: {name}")))?;
        insert(&mut fields, &path, value.into_owned(), &name)?;
    }
    Ok(fields)
}

/// `a[b][]` as `a`, `b` and an empty name.
fn path_of(name: &str) -> Option<Vec<&str>> {
    let Some((first, rest)) = name.split_once('[') else { return Some(vec![name]) };
    let inner = rest.strip_suffix(']')?;
    let mut path = vec![first];
    path.extend(inner.split("]["));
    (path.len() <= DEEPEST && !first.is_empty()).then_some(path)
}

fn insert(fields: &mut Fields, path: &[&str], value: String, whole: &str) -> Result<(), Fault> {
    let conflict = || Fault::invalid(format!("Invalid parameter: {whole} is given both as a value and as an object"));
    match path {
        [] => Ok(()),
        [last] => {
            let name = if last.is_empty() { next(fields).to_string() } else { (*last).to_owned() };
            if matches!(fields.get(&name), Some(Node::Map(_))) {
                return Err(conflict());
            }
            fields.insert(name, Node::Text(value));
            Ok(())
        }
        [first, rest @ ..] => {
            let name = if first.is_empty() { open_element(fields, rest) } else { (*first).to_owned() };
            match fields.entry(name).or_insert_with(|| Node::Map(Fields::new())) {
                Node::Map(below) => insert(below, rest, value, whole),
                Node::Text(_) => Err(conflict()),
            }
        }
    }
}

/// `a[][b]` goes on with the last element until that one has a `b`.
fn open_element(fields: &Fields, rest: &[&str]) -> String {
    let has = |node: &Node| matches!((node, rest.first()), (Node::Map(map), Some(name)) if map.contains_key(*name));
    let next = next(fields);
    let last = next.checked_sub(1).map(|last| last.to_string());
    match last.and_then(|last| fields.get(&last).map(|node| (last, node))) {
        Some((last, node)) if !has(node) => last,
        _ => next.to_string(),
    }
}

/// The position after the last one.
fn next(fields: &Fields) -> usize {
    fields.keys().filter_map(|name| name.parse::<usize>().ok()).max().map_or(0, |last| last.saturating_add(1))
}

/// The elements of a list, in the order of their positions.
pub(crate) fn in_order(fields: Fields) -> Vec<(String, Node)> {
    let mut elements: Vec<(String, Node)> = fields.into_iter().collect();
    elements.sort_by_key(|(name, _)| name.parse::<usize>().unwrap_or(usize::MAX));
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Node {
        Node::Text(value.into())
    }

    fn at<'a>(fields: &'a Fields, path: &[&str]) -> &'a Node {
        let (last, before) = path.split_last().unwrap();
        let below = before.iter().fold(fields, |fields, name| match &fields[*name] {
            Node::Map(map) => map,
            Node::Text(_) => panic!("text at {name}"),
        });
        &below[*last]
    }

    #[test]
    fn brackets_nest_and_lists_keep_their_order() {
        let fields = decode("a=1&b%5Bc%5D=2&l[10]=z&l[2]=y&e[]=p&e[]=q&m[][x]=1&m[][y]=2&m[][x]=3").unwrap();
        assert_eq!(at(&fields, &["a"]), &text("1"));
        assert_eq!(at(&fields, &["b", "c"]), &text("2"));
        let Node::Map(list) = at(&fields, &["l"]) else { panic!() };
        let in_order: Vec<Node> = in_order(list.clone()).into_iter().map(|(_, node)| node).collect();
        assert_eq!(in_order, [text("y"), text("z")]);
        assert_eq!(at(&fields, &["e", "1"]), &text("q"));
        assert_eq!(at(&fields, &["m", "0", "y"]), &text("2"));
        assert_eq!(at(&fields, &["m", "1", "x"]), &text("3"));
    }

    #[test]
    fn a_name_is_a_value_or_an_object_and_brackets_close() {
        assert!(decode("a=1&a[b]=2").is_err());
        assert!(decode("a[b]=2&a=1").is_err());
        assert!(decode("a[b=2").is_err());
    }
}
