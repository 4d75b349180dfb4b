//! The bytes of a document, looked over before they are parsed.
//!
//! The parser believes the lengths that it reads, follows nested messages as deep as they go, and loses its place
//! where packed numbers do not end with their field. Here every length is held against the bytes that are there, packed
//! numbers are counted and depth is bounded, so that a damaged file is an error rather than an exhausted memory, an
//! exhausted stack or a loop without end.

/// Messages within messages, subgraphs included: real files stay far below.
const MAX_DEPTH: usize = 64;

/// A message type of ONNX, as far as it holds other messages that the parser reads.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Sequence,
    Shape,
    /// Holds no messages.
    Leaf,
}

/// What the bytes of a field are, beyond being there.
enum Content {
    Message(Message),
    /// Numbers of so many bytes each.
    Words(usize),
    /// Numbers of one to ten bytes each.
    Varints,
    /// Text, bytes, or what the parser skips.
    Bytes,
}

impl Message {
    /// What field `number` holds.
    fn field(self, number: u64) -> Content {
        use Message::*;
        let inner = match (self, number) {
            (Tensor, 4) => return Content::Words(4),
            (Tensor, 10) => return Content::Words(8),
            (Tensor, 5 | 7) => return Content::Varints,
            (Model, 7) => Graph,
            (Model, 8 | 14) => Leaf,
            (Graph, 1) => Node,
            (Graph, 5) => Tensor,
            (Graph, 11..=13) => ValueInfo,
            (Node, 5) => Attribute,
            (Attribute, 5) => Tensor,
            (Attribute, 6) => Graph,
            (Tensor, 13) => Leaf,
            (ValueInfo, 2) => Type,
            (Type, 1) => TensorType,
            (Type, 4) => Sequence,
            (Sequence, 1) => Type,
            (TensorType, 2) => Shape,
            (Shape, 1) => Leaf,
            _ => return Content::Bytes,
        };
        Content::Message(inner)
    }
}

/// Checks the lengths of all fields of a model.
///
/// # Errors
/// What is wrong, where a field reaches beyond the message around it.
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    check_message(bytes, Message::Model, MAX_DEPTH)
}

fn check_message(mut bytes: &[u8], message: Message, depth: usize) -> Result<(), &'static str> {
    if depth == 0 {
        return Err("it is nested too deeply");
    }
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        // The lowest three bits are the field's wire type.
        match key & 7 {
            0 => {
                varint(&mut bytes)?;
            }
            1 => {
                take(&mut bytes, 8)?;
            }
            2 => {
                let length = varint(&mut bytes)?;
                let mut inside = take(&mut bytes, length)?;
                match message.field(key >> 3) {
                    Content::Message(inner) => check_message(inside, inner, depth - 1)?,
                    Content::Words(width) if inside.len() % width != 0 => {
                        return Err("a list ends in the middle of a number");
                    }
                    Content::Varints => {
                        while !inside.is_empty() {
                            varint(&mut inside)?;
                        }
                    }
                    Content::Words(_) | Content::Bytes => {}
                }
            }
            5 => {
                take(&mut bytes, 4)?;
            }
            _ => return Err("a field has an unknown encoding"),
        }
    }
    Ok(())
}

/// Takes `length` bytes from the front.
fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], &'static str> {
    let split = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
    let (taken, rest) = split.ok_or("it ends in the middle of a field")?;
    *bytes = rest;
    Ok(taken)
}

/// Takes an integer of one to ten bytes, seven bits each, the lowest first.
fn varint(bytes: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0;
    for place in 0..10 {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number is longer than ten bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_held_against_what_is_there() {
        // graph { node { name: "a" } }
        let model = [0x3a, 5, 0x0a, 3, 0x1a, 1, b'a'];
        assert_eq!(check(&model), Ok(()));
        for end in 1..model.len() {
            assert!(check(&model[..end]).is_err(), "{end} bytes");
        }
        // The node says that it is longer than the graph around it, though the file is long enough.
        let mut longer = [&model[..], &[0x08, 1]].concat();
        longer[3] = 5;
        assert!(check(&longer).is_err());
    }

    #[test]
    fn packed_numbers_end_with_their_field() {
        // graph { initializer { float_data: … } }, and the same with int64_data.
        let tensor = |key: u8, data: &[u8]| {
            let length = data.len() as u8;
            [&[0x3a, length + 4, 0x2a, length + 2, key, length], data].concat()
        };
        assert_eq!(check(&tensor(0x22, &[0; 8])), Ok(()));
        assert!(check(&tensor(0x22, &[0; 7])).is_err());
        assert_eq!(check(&tensor(0x3a, &[0x80, 1, 2])), Ok(()));
        assert!(check(&tensor(0x3a, &[0x80, 1, 0x80])).is_err());
    }

    #[test]
    fn depth_is_bounded() {
        // Subgraphs in attributes of nodes: graph → node → attribute → graph.
        let mut inside = Vec::new();
        for _ in 0..30 {
            for field in [6u8, 5, 1] {
                let length = u16::try_from(inside.len()).expect("it stays short");
                let (low, high) = (length as u8 | 0x80, (length >> 7) as u8);
                inside = [&[field << 3 | 2, low, high], &inside[..]].concat();
            }
        }
        let length = u16::try_from(inside.len()).expect("it stays short");
        let model = [&[0x3a, length as u8 | 0x80, (length >> 7) as u8], &inside[..]].concat();
        assert_eq!(check(&model), Err("it is nested too deeply"));
    }
}
