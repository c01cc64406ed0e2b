//! Which shapes multiply, and what shape comes out.

use crate::error::{Error, Extent, Shape};

/// The shape of `a @ b` by NumPy's rules.
///
/// # Errors
///
/// If an operand has no axes, the shared axes differ in length, or the batch axes do not broadcast.
pub fn matmul_shape(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Error> {
    let (&[.., k], &[.., _]) = (a, b) else {
        let (name, shape) = if a.is_empty() { ("a", a) } else { ("b", b) };
        let shape = Shape::from(shape);
        return Err(Error::Axes {
            name,
            shape,
            expected: "at least one axis (multiply scalars with *)",
        });
    };
    let b_k = b[b.len().saturating_sub(2)];
    if k != b_k {
        return Err(Error::Extents(Box::new([
            Extent {
                name: "a",
                length: k,
                unit: if a.len() == 1 { "elements" } else { "columns" },
                shape: Shape::from(a),
            },
            Extent {
                name: "b",
                length: b_k,
                unit: if b.len() == 1 { "elements" } else { "rows" },
                shape: Shape::from(b),
            },
        ])));
    }
    let mut shape = broadcast(batch(a), batch(b)).ok_or_else(|| Error::Broadcast {
        left_name: "a",
        left: Shape::from(batch(a)),
        right_name: "b",
        right: Shape::from(batch(b)),
    })?;
    if let &[.., m, _] = a {
        shape.push(m);
    }
    if let &[.., _, n] = b {
        shape.push(n);
    }
    addressable(shape)
}

/// The shape of a layer's result: that of `x` with `out_features` for `in_features`.
///
/// # Errors
///
/// If `x` has no axes, `weight` not two, or the features of `x`, `weight` and `bias` do not match.
pub fn linear_shape(
    x: &[usize],
    weight: &[usize],
    bias: Option<&[usize]>,
) -> Result<Vec<usize>, Error> {
    let &[.., features] = x else {
        let expected = "at least one axis, the features";
        return Err(Error::Axes { name: "x", shape: Shape::from(x), expected });
    };
    let &[outputs, inputs] = weight else { return Err(weight_axes(weight)) };
    if features != inputs {
        return Err(Error::Extents(Box::new([
            Extent { name: "x", length: features, unit: "features", shape: Shape::from(x) },
            Extent {
                name: "weight",
                length: inputs,
                unit: "in_features",
                shape: Shape::from(weight),
            },
        ])));
    }
    if let Some(bias) = bias
        && bias.len() != 1
    {
        let expected = "one axis, (out_features,)";
        return Err(Error::Axes { name: "bias", shape: Shape::from(bias), expected });
    }
    if let Some(bias) = bias
        && bias != [outputs]
    {
        return Err(Error::Extents(Box::new([
            Extent {
                name: "bias",
                length: bias.iter().product(),
                unit: "elements",
                shape: Shape::from(bias),
            },
            Extent {
                name: "weight",
                length: outputs,
                unit: "out_features",
                shape: Shape::from(weight),
            },
        ])));
    }
    let mut shape = x.to_vec();
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    addressable(shape)
}

/// What is said of a layer's weight that has not two axes.
#[must_use]
pub fn weight_axes(shape: &[usize]) -> Error {
    let expected = "two axes, (out_features, in_features)";
    Error::Axes { name: "weight", shape: Shape::from(shape), expected }
}

/// The axes before the last two.
pub(super) fn batch(shape: &[usize]) -> &[usize] {
    &shape[..shape.len().saturating_sub(2)]
}

/// The shape both broadcast to: aligned at their ends, extents are equal or one of them is 1.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let axes = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| {
        (axis + shape.len()).checked_sub(axes).map_or(1, |i| shape[i])
    };
    (0..axes)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (1, other) | (other, 1) => Some(other),
            (x, y) => (x == y).then_some(x),
        })
        .collect()
}

/// The shape, if its elements can be counted and addressed, eight bytes each. Axes of extent 0 do not
/// make a product of large ones harmless: NumPy refuses it too.
fn addressable(shape: Vec<usize>) -> Result<Vec<usize>, Error> {
    let limit = isize::MAX.unsigned_abs() / size_of::<f64>();
    let elements = shape
        .iter()
        .filter(|&&extent| extent != 0)
        .try_fold(1_usize, |product, &extent| product.checked_mul(extent));
    match elements {
        Some(elements) if elements <= limit => Ok(shape),
        _ => Err(Error::TooLarge(Shape(shape))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numpys_rules_for_one_axis_and_for_batches() {
        let shape = |a: &[usize], b: &[usize]| matmul_shape(a, b).unwrap();
        assert_eq!(shape(&[2, 3], &[3, 4]), [2, 4]);
        assert_eq!(shape(&[3], &[3]), [0; 0], "a dot product is a scalar");
        assert_eq!(shape(&[3], &[3, 4]), [4]);
        assert_eq!(shape(&[2, 3], &[3]), [2]);
        assert_eq!(shape(&[5, 1, 2, 3], &[6, 3, 4]), [5, 6, 2, 4]);
        assert_eq!(shape(&[5, 2, 3], &[3]), [5, 2]);
        assert_eq!(shape(&[0, 2, 3], &[1, 3, 0]), [0, 2, 0]);
    }

    #[test]
    fn what_does_not_fit_is_said_in_one_sentence() {
        let message = |a: &[usize], b: &[usize]| matmul_shape(a, b).unwrap_err().to_string();
        assert_eq!(
            message(&[2, 3], &[4, 5]),
            "a has 3 columns (shape (2, 3)), b has 4 rows (shape (4, 5)): they must be equal"
        );
        assert!(message(&[], &[2]).starts_with("a has shape (), expected at least one axis"));
        assert!(
            message(&[2, 1, 3], &[3, 3, 4]).contains("(2,) of a and (3,) of b do not broadcast")
        );
        assert!(message(&[1 << 40, 1], &[1, 1 << 40]).contains("more than memory can hold"));
        let message = linear_shape(&[7, 3], &[5, 3], Some(&[4])).unwrap_err().to_string();
        assert_eq!(
            message,
            "bias has 4 elements (shape (4,)), weight has 5 out_features (shape (5, 3)): they must \
             be equal"
        );
    }
}
