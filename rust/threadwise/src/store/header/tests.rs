use proptest::prelude::*;

use super::*;

fn parse(text: &str, data: u64) -> Result<Header, Flaw> {
    Header::parse(text.as_bytes(), data)
}

fn entry(name: &str, dtype: &str, shape: &str, begin: &str, end: &str) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

fn sentence(entries: &[String], data: u64) -> String {
    parse(&format!("{{{}}}", entries.join(",")), data).unwrap_err().to_string()
}

#[test]
fn tensors_are_found_in_the_order_in_which_they_lie() {
    let entries = [
        entry("b", "F32", "[2,3]", "4", "28"),
        r#""__metadata__":{"format":"pt","empty":""}"#.to_owned(),
        entry("nothing", "U8", "[0,18446744073709551615]", "28", "28"),
        entry("a", "BF16", "[2]", "0", "4"),
    ];
    let header = parse(&format!("{{{}}}   ", entries.join(",")), 28).unwrap();
    let names: Vec<&str> = header.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "nothing"], "by offsets");
    assert_eq!(header.metadata["format"], "pt", "kept");
    assert_eq!(header.tensors[1].shape, [2, 3], "its shape");
    assert_eq!(parse("{}", 0), Ok(Header::default()), "nothing at all");
}

#[test]
fn each_flaw_has_its_sentence() {
    let a = || entry("a", "F32", "[1]", "0", "4");
    let cases: [(Vec<String>, u64, &str); 14] = [
        (vec![a(), a()], 4, "tensor 'a' is in the header twice"),
        (vec![a()], 3, "the file ends 1 bytes too early: tensor 'a' is cut"),
        (vec![a()], 5, "1 bytes after the last tensor belong to none"),
        (vec![], 5, "5 bytes after the last tensor belong to none"),
        (vec![a(), entry("b", "U8", "[2]", "2", "4")], 4, "tensors 'a' and 'b' overlap"),
        (vec![entry("b", "U8", "[2]", "2", "4")], 4, "2 bytes before tensor 'b' belong to none"),
        (vec![entry("b", "U8", "[2]", "4", "2")], 4, "tensor 'b' ends at 2, before it begins at 4"),
        (
            vec![entry("b", "F16", "[2, 2]", "0", "4")],
            4,
            "tensor 'b' has 4 bytes, expected 8 for F16 of shape (2, 2)",
        ),
        (
            vec![entry("b", "F64", "[4294967296,4294967296]", "0", "0")],
            0,
            "tensor 'b' has 0 bytes, expected no more than fit in any file, in whole bytes, for F64 of \
             shape (4294967296, 4294967296)",
        ),
        (
            vec![entry("b", "F4", "[3]", "0", "1")],
            1,
            "tensor 'b' has 1 bytes, expected no more than fit in any file, in whole bytes, for F4 of \
             shape (3,)",
        ),
        (
            vec![entry("b", "F33", "[1]", "0", "4")],
            4,
            "tensor 'b' has dtype 'F33', which is none of safetensors'",
        ),
        (
            vec![r#""b":{"dtype":"F32","data_offsets":[0,0]}"#.to_owned()],
            0,
            "tensor 'b': missing field `shape` at line 1 column 41",
        ),
        (
            vec![entry("b", "F32", "[1]", "0", "18446744073709551616")],
            0,
            "tensor 'b': invalid type: floating point `1.8446744073709552e+19`, expected u64 at line 1 \
             column 70",
        ),
        (
            vec![entry("b", "F32", &format!("[{}1]", "1,".repeat(64)), "0", "4")],
            4,
            "tensor 'b' has more than 64 axes",
        ),
    ];
    for (entries, data, expected) in cases {
        assert_eq!(sentence(&entries, data), expected, "{entries:?}");
    }
}

#[test]
fn what_is_no_object_of_json_is_refused() {
    for text in ["", "[]", "{", "{} {}", "null", r#"{"__metadata__":{"a":1}}"#, "\u{feff}{}"] {
        assert!(matches!(parse(text, 0), Err(Flaw::Json(_) | Flaw::Entry { .. })), "{text}");
    }
    let twice = r#"{"__metadata__":{},"__metadata__":{}}"#;
    assert_eq!(parse(twice, 0), Err(Flaw::MetadataTwice), "metadata");
    let key = parse(r#"{"__metadata__":{"a":"","a":""}}"#, 0).unwrap_err().to_string();
    assert!(key.contains("\"a\" comes twice"), "{key}");
    let deep = format!(r#"{{"a":{{"dtype":"F32","x":{}}}}}"#, "[".repeat(100_000));
    assert!(matches!(parse(&deep, 0), Err(Flaw::Entry { .. })), "not on the stack");
    assert!(Header::parse(b"{\"\xff\":1}", 0).is_err(), "not UTF-8");
}

#[test]
fn lengths_are_checked_before_anything_is_read() {
    let length = |header: u64, file: u64| length(header.to_le_bytes(), file);
    assert_eq!(length(2, 10), Ok(2), "it fits");
    assert_eq!(length(3, 10), Err(Flaw::CutHeader { header: 3, left: 2 }), "too long by one");
    assert_eq!(length(LONGEST + 1, u64::MAX), Err(Flaw::LongHeader(LONGEST + 1)), "a bomb");
    assert_eq!(length(u64::MAX, 10), Err(Flaw::LongHeader(u64::MAX)), "the largest number");
}

prop_compose! {
    fn tensors()(parts in prop::collection::vec(
        (any::<prop::sample::Index>(), prop::collection::vec(0_usize..5, 0..4)), 0..6,
    )) -> Vec<Tensor> {
        let mut begin = 0;
        parts.into_iter().enumerate().filter_map(|(number, (index, shape))| {
            let dtype = Dtype::ALL[index.index(Dtype::ALL.len())];
            let end = begin + dtype.bytes(&shape)?;
            let tensor = Tensor { name: format!("t{number}\"\\\u{e9}"), dtype, shape, begin, end };
            begin = end;
            Some(tensor)
        }).collect()
    }
}

prop_compose! {
    fn headers()(
        tensors in tensors(), metadata in prop::collection::btree_map(".{0,4}", ".{0,4}", 0..3),
    ) -> Header {
        Header { metadata, tensors }
    }
}

fn data(header: &Header) -> u64 {
    header.tensors.last().map_or(0, |tensor| tensor.end)
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(header in headers(), more in 0_usize..3) {
        let room = header.room() + 64 * more;
        let bytes = header.bytes(room);
        prop_assert_eq!(bytes.len(), room);
        prop_assert_eq!(room % 64, 0);
        let length = length(bytes[..8].try_into().unwrap(), room as u64 + data(&header));
        prop_assert_eq!(length, Ok(room as u64 - 8));
        prop_assert_eq!(Header::parse(&bytes[8..], data(&header)), Ok(header));
    }

    #[test]
    fn any_change_is_read_or_refused(
        header in headers(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = header.bytes(header.room());
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(8 + cut.index(bytes.len() - 7));
        let file = bytes.len() as u64 + data(&header);
        if let Ok(length) = length(bytes[..8].try_into().unwrap(), file) {
            let end = (8 + usize::try_from(length).unwrap()).min(bytes.len());
            if let Ok(found) = Header::parse(&bytes[8..end], data(&header)) {
                let mut reached = 0;
                for tensor in &found.tensors {
                    prop_assert_eq!(tensor.begin, reached);
                    prop_assert_eq!(Some(tensor.bytes()), tensor.dtype.bytes(&tensor.shape));
                    reached = tensor.end;
                }
                prop_assert_eq!(reached, data(&header));
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}:,\"a0F32 -]{0,40}") {
        let _ = Header::parse(text.as_bytes(), 0);
    }
}
