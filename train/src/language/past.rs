//! Keys and values of attention, and those of the positions that decoding has passed.

use tch::{Kind, Tensor};

/// Keys and values of one layer, per head: `[b, h, s, k]`.
#[derive(Debug)]
pub struct KeyValue {
    pub(crate) k_bhsk: Tensor,
    pub(crate) v_bhsk: Tensor,
}

impl KeyValue {
    /// These rows, in this order; a row may be taken several times.
    pub fn select(&self, rows_r: &Tensor) -> Self {
        Self { k_bhsk: self.k_bhsk.index_select(0, rows_r), v_bhsk: self.v_bhsk.index_select(0, rows_r) }
    }

    /// The same in another type, one clip and head behind the other.
    pub(crate) fn to_kind(&self, kind: Kind) -> Self {
        let [k_bhsk, v_bhsk] = [&self.k_bhsk, &self.v_bhsk].map(|x| x.to_kind(kind).contiguous());
        Self { k_bhsk, v_bhsk }
    }
}

/// Positions for which room is made at once.
const ROOM: i64 = 32;

/// Keys and values of one self-attention for every row, position by position, `[t, 2, r, h, k]`, with room for later
/// ones: a position is written into its place, and rows are reordered from one tensor into another, so that a step
/// copies what is there once.
#[derive(Debug)]
pub struct Past {
    kv_t2rhk: Tensor,
    /// The other tensor, of any number of rows and positions.
    spare_t2rhk: Tensor,
    length: i64,
}

impl Past {
    /// After the first position, whose keys and values are `k_rhk` and `v_rhk`.
    pub fn new(k_rhk: &Tensor, v_rhk: &Tensor) -> Self {
        let first = Tensor::stack(&[k_rhk, v_rhk], 0).unsqueeze(0);
        let mut past = Self { spare_t2rhk: first.shallow_clone(), kv_t2rhk: first, length: 1 };
        past.make_room();
        past
    }

    /// Continue with these rows, in this order; a row may be taken several times.
    pub fn select(&mut self, rows_r: &Tensor) {
        let mut size = self.kv_t2rhk.size();
        size[2] = rows_r.size()[0];
        if self.spare_t2rhk.size() != size {
            self.spare_t2rhk = self.kv_t2rhk.new_empty(size, (self.kv_t2rhk.kind(), self.kv_t2rhk.device()));
        }
        let [from, to] = [&self.kv_t2rhk, &self.spare_t2rhk].map(|x| x.narrow(0, 0, self.length));
        let _ = from.index_select_out(&to, 2, rows_r);
        std::mem::swap(&mut self.kv_t2rhk, &mut self.spare_t2rhk);
    }

    /// The next position.
    pub fn append(&mut self, k_rhk: &Tensor, v_rhk: &Tensor) {
        if self.length == self.kv_t2rhk.size()[0] {
            self.make_room();
        }
        let place_2rhk = self.kv_t2rhk.get(self.length);
        place_2rhk.get(0).copy_(k_rhk);
        place_2rhk.get(1).copy_(v_rhk);
        self.length += 1;
    }

    /// All positions so far.
    pub fn key_value(&self) -> KeyValue {
        let kv_2rhtk = self.kv_t2rhk.narrow(0, 0, self.length).permute([1, 2, 3, 0, 4]);
        KeyValue { k_bhsk: kv_2rhtk.get(0), v_bhsk: kv_2rhtk.get(1) }
    }

    fn make_room(&mut self) {
        let mut size = self.kv_t2rhk.size();
        size[0] += ROOM;
        let wider = self.kv_t2rhk.new_empty(size, (self.kv_t2rhk.kind(), self.kv_t2rhk.device()));
        wider.narrow(0, 0, self.length).copy_(&self.kv_t2rhk.narrow(0, 0, self.length));
        self.kv_t2rhk = wider;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Against concatenation and selection, over more positions than there is room for at once.
    #[test]
    fn same_as_concatenation() {
        let position = |rows: i64| Tensor::randn([rows, 2, 4], (Kind::Float, Device::Cpu));
        let mut rows = 2;
        let (k, v) = (position(rows), position(rows));
        let mut past = Past::new(&k, &v);
        let mut all = [k.unsqueeze(2), v.unsqueeze(2)];
        for step in 1..ROOM * 2 + 3 {
            let chosen: Vec<i64> = match step {
                1 => vec![1, 1, 0, 0, 1, 0],
                20 => vec![5, 4, 3],
                _ => (0..rows).map(|row| (row * 7 + step) % rows).collect(),
            };
            rows = chosen.len() as i64;
            let chosen = Tensor::from_slice(&chosen);
            past.select(&chosen);
            let next = [position(rows), position(rows)];
            past.append(&next[0], &next[1]);
            for (all, next) in all.iter_mut().zip(&next) {
                *all = Tensor::cat(&[&all.index_select(0, &chosen), &next.unsqueeze(2)], 2);
            }
            let found = past.key_value();
            assert_eq!((&found.k_bhsk, &found.v_bhsk), (&all[0], &all[1]), "step {step}");
        }
    }
}
