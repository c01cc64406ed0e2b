//! A chunk's queries, keys and values, and how they meet.

use ndarray::{ArrayView3, ArrayViewMut2, Axis, Slice};
use threadwise_kernels::rope::Rope;
use threadwise_runtime::with_scratch;

use super::layer::Layer;
use super::program::{Chunk, matrix};
use crate::phased::Item;
use crate::{Error, Stored};

impl<S: Stored> Chunk<'_, S> {
    /// A head's keys and values of all tokens, stored.
    pub(super) fn keys(&self, item: &Item<'_>, layer: usize, weights: &Layer) -> Result<(), Error> {
        let (head, e) = (item.number(), self.model.shape.head_dim);
        let rows = self.model.heads.kv[head] * e;
        let rows = rows..rows + e;
        let (tokens, x) = (self.tokens(), self.normed.read(item));
        with_scratch(2 * tokens * e, |room: &mut [f32]| {
            let (keys, values) = room.split_at_mut(tokens * e);
            for (linear, to) in [(&weights.k, &mut *keys), (&weights.v, &mut *values)] {
                self.linear(linear, x, rows.clone(), matrix(tokens, e, to))?;
            }
            self.turn(matrix(tokens, e, keys), 0);
            let heads = self.model.heads.kv.len();
            // There is one head, which stands for each.
            let one = [&*keys, &*values].map(|numbers| {
                let numbers = ArrayView3::from_shape((tokens, 1, e), numbers);
                numbers.unwrap_or_else(|_| unreachable!("as long"))
            });
            let [keys, values] = [&one[0], &one[1]].map(|one| {
                let each = one.broadcast((tokens, heads, e));
                each.unwrap_or_else(|| unreachable!("an axis of one"))
            });
            for number in self.schedule.stores_of(head) {
                let both = |span: usize| {
                    let some = Slice::from(self.spans[span].clone());
                    [keys, values].map(|x| x.slice_axis_move(Axis(0), some))
                };
                self.schedule.store(item, number, &self.lent, layer, both)?;
            }
            Ok(())
        })?
    }

    /// Some heads of queries of all tokens.
    pub(super) fn queries(
        &self,
        item: &Item<'_>,
        block: usize,
        weights: &Layer,
    ) -> Result<(), Error> {
        let (count, e) = (self.model.heads.heads.len(), self.model.shape.head_dim);
        let first = block * self.blocks.heads;
        let rows = first * e..count.min(first + self.blocks.heads) * e;
        let mut q = self.q.columns(item, block);
        self.linear(&weights.q, self.normed.read(item), rows.clone(), q.view_mut())?;
        for head in (0..rows.len()).step_by(e) {
            self.turn(q.view_mut(), head);
        }
        Ok(())
    }

    pub(super) fn attend(&self, item: &Item<'_>, layer: usize) -> Result<(), Error> {
        let (count, e) = (self.model.heads.heads.len(), self.model.shape.head_dim);
        let q = self.q.read(item);
        let queries = |span: usize| {
            let rows = q.slice_axis_move(Axis(0), self.spans[span].clone().into());
            let shape = (rows.nrows(), count, e);
            let rows = rows.into_shape_with_order(shape);
            rows.unwrap_or_else(|_| unreachable!("rows of heads"))
        };
        let place = |span, query, head| self.place(item, span, query, head);
        let partials = (&self.partials, self.partial);
        let (schedule, lent) = (&self.schedule, &self.lent);
        schedule.attend(item, item.number(), self.isa, lent, layer, partials, queries, place)
    }

    /// Where a query's results go, of all heads that share a head of keys.
    pub(super) fn place<'i>(
        &'i self,
        item: &'i Item<'_>,
        span: usize,
        query: usize,
        head: usize,
    ) -> ArrayViewMut2<'i, f32> {
        let (heads, token) = (&self.model.heads, self.spans[span].start + query);
        let piece = self.attended.piece(item, self.places, token * heads.kv.len() + head);
        let piece = piece.into_shape_with_order((heads.group, self.model.shape.head_dim));
        piece.unwrap_or_else(|_| unreachable!("heads of one token"))
    }

    /// Turns a head of all tokens, from column `first` on, by the angles of their positions.
    fn turn(&self, mut x: ArrayViewMut2<'_, f32>, first: usize) {
        let (kernel, e) = (Rope::new(self.isa), self.model.shape.head_dim);
        for (mut row, angles) in x.rows_mut().into_iter().zip(self.angles.rows()) {
            let (Some(row), Some(angles)) = (row.as_slice_mut(), angles.to_slice()) else {
                continue;
            };
            let (cos, sin) = angles.split_at(e / 2);
            kernel.rotate(&mut row[first..first + e], cos, sin);
        }
    }
}
