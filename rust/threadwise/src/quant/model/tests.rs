use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::super::{Bits, Method, Scheme, ZeroPoint};
use super::layout::{Class, Form, Role, end, parts};
use super::plan::{Task, listed, of_part, room};
use crate::store::{Dtype, Header, Tensor};

const BITS: [Bits; 4] = [Bits::Two, Bits::Three, Bits::Four, Bits::Eight];
const KINDS: [ZeroPoint; 3] = [ZeroPoint::Symmetric, ZeroPoint::Float, ZeroPoint::Integer];

prop_compose! {
    fn schemes()(
        bits in 0_usize..4, kind in 0_usize..3, group in prop::option::of(1_usize..9),
    ) -> Scheme {
        let group_size = group.and_then(|group| NonZeroUsize::new(16 * group));
        let (bits, zero_point) = (BITS[bits], KINDS[kind]);
        Scheme { bits, group_size, zero_point, method: Method::MinMax }
    }
}

type Given = (Vec<usize>, bool, Option<Scheme>, [bool; 2]);

fn given() -> impl Strategy<Value = Vec<Given>> {
    let shape = prop::collection::vec(0_usize..70, 1..4);
    let one = (shape, any::<bool>(), prop::option::of(schemes()), any::<[bool; 2]>());
    prop::collection::vec(one, 0..6)
}

/// The tasks of a file with these tensors, in their order, and a form that each may end in.
fn planned(given: Vec<Given>) -> (Vec<Task>, Vec<Option<Form>>) {
    let mut all: Vec<(Task, Option<Form>)> = Vec::new();
    for (number, (shape, is_half, scheme, [wide, wider])) in given.into_iter().enumerate() {
        let dtype = if is_half { Dtype::F16 } else { Dtype::F32 };
        let bytes = dtype.bytes(&shape).unwrap();
        let tensor = Tensor { name: format!("t{number}"), dtype, shape, begin: 0, end: bytes };
        let form = scheme.map(|scheme| {
            let form = Form { scheme, wide };
            if wider { form.wider().unwrap_or(form) } else { form }
        });
        all.push((Task::new(0, &tensor, scheme, 9000), form));
    }
    all.sort_by_key(|(task, _)| Class::of(&task.tensor, task.scheme.as_ref()));
    all.into_iter().unzip()
}

proptest! {
    #[test]
    fn files_have_no_holes_and_their_headers_fit(given in given()) {
        let (tasks, forms) = planned(given);
        let room = room(&std::collections::BTreeMap::new(), &tasks);
        let mut at = tasks.iter().map(super::plan::shape_bytes).sum();
        let mut placed = Vec::new();
        for (task, &form) in tasks.iter().zip(&forms) {
            let parts = parts(&task.tensor, form, at);
            at = end(&parts);
            placed.push((task, parts));
        }
        let header = Header { tensors: listed(placed.into_iter()), ..Header::default() };
        let bytes = header.bytes(room);
        prop_assert_eq!(Header::parse(&bytes[8..], at), Ok(header));
    }

    #[test]
    fn elements_lie_at_multiples_of_their_size(given in given()) {
        let (tasks, mut forms) = planned(given);
        // Float32 scales that nobody expected, after an odd number of float16 ones, are the exception.
        forms.iter_mut().flatten().for_each(|form| form.wide = false);
        let mut at = tasks.iter().map(super::plan::shape_bytes).sum();
        for (task, &form) in tasks.iter().zip(&forms) {
            for part in parts(&task.tensor, form, at) {
                prop_assert!(part.begin.is_multiple_of(part.dtype.bits() / 8), "{part:?}");
                at = at.max(part.begin + part.bytes);
            }
        }
    }

    #[test]
    fn blocks_cover_a_tensor_and_its_parts_without_gaps(given in given()) {
        let (tasks, forms) = planned(given);
        for (task, form) in tasks.iter().zip(forms) {
            let (mut read, mut made) = (0, [0; 4]);
            let parts = parts(&task.tensor, form, 0);
            for block in 0..task.blocks() {
                let units = task.units_of(block);
                let bytes = task.bytes_of(&units);
                prop_assert_eq!(bytes.start, read);
                read = bytes.end;
                let Some(form) = form.filter(|_| !units.is_empty()) else { continue };
                for (part, made) in parts.iter().zip(&mut made) {
                    let bytes = of_part(task, form, part.role, &units);
                    prop_assert_eq!(bytes.start, *made);
                    *made = bytes.end;
                }
            }
            prop_assert_eq!(read, task.tensor.bytes());
            if task.units > 0 && form.is_some() {
                let sizes: Vec<u64> = parts.iter().map(|part| part.bytes).collect();
                prop_assert_eq!(&made[..sizes.len()], &sizes[..]);
            }
        }
    }
}

#[test]
fn an_odd_number_of_scales_is_followed_by_another() {
    let scheme = Scheme {
        bits: Bits::Four,
        group_size: NonZeroUsize::new(32),
        zero_point: ZeroPoint::Symmetric,
        method: Method::Mse,
    };
    let shape = vec![3, 32];
    let tensor = Tensor { name: "a".to_owned(), dtype: Dtype::F32, shape, begin: 0, end: 384 };
    let form = Some(Form::of(scheme));
    let roles = |begin: u64| parts(&tensor, form, begin).into_iter().map(|part| part.role);
    assert!(roles(0).eq([Role::Codes, Role::Scales]), "the words are aligned");
    assert!(roles(54).eq([Role::Scales, Role::Codes]), "after three scales they are again");
    assert_eq!(Class::of(&tensor, Some(&scheme)), Class::Odd, "it comes after the even ones");
}
