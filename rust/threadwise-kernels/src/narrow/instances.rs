//! How the kernels of a pair are put together, from units and the functions of an instruction set.

#[cfg(target_arch = "x86_64")]
use super::amx;
#[cfg(target_arch = "x86_64")]
use super::avx512::Double;
use super::kernel::{FewRows, Kernel, Tiles};
#[cfg(target_arch = "x86_64")]
use super::strips::Lie;
use super::strips::Single;
#[cfg(target_arch = "x86_64")]
use super::tile::BlockFn;
use super::units::Fetch;
use super::{Pair, functions};

/// Units along k that tiles in registers sum on end: those of a sliver of B fill an eighth of a second-level cache
/// of one megabyte.
const UNITS: usize = 512;

/// Rows from which on tiles in registers are faster than dots.
const WORTH_PACKING: usize = 9;

/// The constructors, which differ in the module of their functions. Each takes the proof of what its functions
/// need.
macro_rules! parts {
    ($tiles:ident, $few:ident, $module:ident, $proof:ty, $height:literal) => {
        fn $tiles<V>() -> Tiles<P>
        where
            V: Fetch<P::Left, Proof = $proof, Sum = P::Sum> + Fetch<P::Right>,
        {
            Tiles {
                group: V::GROUP,
                step: 1,
                height: $height,
                speed: V::GROUP,
                units: UNITS,
                worth_packing: WORTH_PACKING,
                width: functions::$module::WIDTH * V::COUNT,
                plain: V::FLIP == 0 && V::GROUP * size_of::<P::Left>() == size_of::<u32>(),
                fills_up: false,
                block: functions::$module::Functions::<V>::BLOCK,
                pack_left: functions::$module::Packs::<V, P::Left>::LEFT,
                pack_right: functions::$module::Packs::<V, P::Right>::RIGHT,
                widen: functions::$module::Packs::<V, P::Right>::WIDEN,
            }
        }

        fn $few<V>() -> FewRows<P>
        where
            V: Fetch<P::Left, Proof = $proof, Sum = P::Sum> + Fetch<P::Right>,
        {
            FewRows {
                group: V::GROUP,
                lanes: V::COUNT,
                pack_left: functions::$module::Packs::<V, P::Left>::LEFT,
                dots: functions::$module::Packs::<V, P::Right>::DOTS,
                streams: functions::$module::Packs::<V, P::Right>::STREAMS,
                strips: Some((
                    functions::$module::Strips::<V, P::Right, Single>::STRIPS,
                    functions::$module::Packs::<V, P::Right>::TOTAL,
                )),
            }
        }
    };
}

impl<P: Pair> Kernel<P> {
    parts!(tiles_portable, few_portable, portable, (), 4);

    pub(super) fn portable<V>() -> Self
    where
        V: Fetch<P::Left, Proof = (), Sum = P::Sum> + Fetch<P::Right>,
    {
        let (tiles, few) = (Self::tiles_portable::<V>(), Self::few_portable::<V>());
        Self { isa: "scalar", tiles, few, short: ("scalar", tiles) }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(
    dead_code,
    reason = "few rows are widened on every instruction set, so some have tiles only"
)]
impl<P: Pair> Kernel<P> {
    parts!(tiles_avx2, few_avx2, avx2, crate::Avx2, 6);
    parts!(tiles_avx512, few_avx512, avx512, crate::Avx512, 6);
    parts!(tiles_bf16, few_bf16, bf16, crate::Bf16, 6);
    parts!(tiles_vnni, few_vnni, vnni, crate::Vnni, 6);

    pub(super) fn avx2<V>(_: crate::Avx2) -> Self
    where
        V: Fetch<P::Left, Proof = crate::Avx2, Sum = P::Sum> + Fetch<P::Right>,
    {
        let (tiles, few) = (Self::tiles_avx2::<V>(), Self::few_avx2::<V>());
        Self { isa: "avx2", tiles, few, short: ("avx2", tiles) }
    }

    pub(super) fn avx512<V>(_: crate::Avx512) -> Self
    where
        V: Fetch<P::Left, Proof = crate::Avx512, Sum = P::Sum> + Fetch<P::Right>,
    {
        let (tiles, few) = (Self::tiles_avx512::<V>(), Self::few_avx512::<V>());
        Self { isa: "avx512", tiles, few, short: ("avx512", tiles) }
    }

    /// Tiles of `T`, few rows of `V`.
    pub(super) fn bf16<T, V>(_: crate::Bf16) -> Self
    where
        T: Fetch<P::Left, Proof = crate::Bf16, Sum = P::Sum> + Fetch<P::Right>,
        V: Fetch<P::Left, Proof = crate::Avx512, Sum = P::Sum> + Fetch<P::Right>,
        Double: Lie<V, P::Right>,
    {
        let few = Self::few_avx512::<V>().of_doubles::<V>();
        let short = ("avx512", Self::tiles_avx512::<V>());
        Self { isa: "avx512bf16", tiles: Self::tiles_bf16::<T>(), few, short }
    }

    /// Tiles of `T`, few rows of `V`.
    pub(super) fn vnni<T, V>(_: crate::Vnni) -> Self
    where
        T: Fetch<P::Left, Proof = crate::Vnni, Sum = P::Sum> + Fetch<P::Right>,
        V: Fetch<P::Left, Proof = crate::Avx512, Sum = P::Sum> + Fetch<P::Right>,
    {
        let few = FewRows { strips: None, ..Self::few_avx512::<V>() };
        let short = ("avx512", Self::tiles_avx512::<V>());
        Self { isa: "avx512vnni", tiles: Self::tiles_vnni::<T>(), few, short }
    }
}

#[cfg(target_arch = "x86_64")]
impl<P: Pair> Kernel<P> {
    /// AMX's `block` of units that `T` packs, few rows of `V`.
    pub(super) fn amx_bf16<T, V>(_: crate::Amx, block: BlockFn<P::Sum>) -> Self
    where
        T: Fetch<P::Left, Proof = crate::Bf16, Sum = P::Sum> + Fetch<P::Right>,
        V: Fetch<P::Left, Proof = crate::Avx512, Sum = P::Sum> + Fetch<P::Right>,
        Double: Lie<V, P::Right>,
    {
        let tiles = Self::tiles_bf16::<T>().in_amx(block);
        let short = ("avx512", Self::tiles_avx512::<V>());
        Self { isa: "amx", tiles, few: Self::few_avx512::<V>().of_doubles::<V>(), short }
    }

    /// As [`Kernel::amx_bf16`], of integers.
    pub(super) fn amx_bytes<T, V>(_: crate::Amx, block: BlockFn<P::Sum>) -> Self
    where
        T: Fetch<P::Left, Proof = crate::Vnni, Sum = P::Sum> + Fetch<P::Right>,
        V: Fetch<P::Left, Proof = crate::Avx512, Sum = P::Sum> + Fetch<P::Right>,
    {
        let tiles = Self::tiles_vnni::<T>().in_amx(block);
        let few = FewRows { strips: None, ..Self::few_avx512::<V>() };
        Self { isa: "amx", tiles, few, short: ("avx512", Self::tiles_avx512::<V>()) }
    }
}

#[cfg(target_arch = "x86_64")]
impl<P: Pair> Tiles<P> {
    /// The same units for AMX, which every CPU with it has the instructions to pack.
    fn in_amx(self, block: BlockFn<P::Sum>) -> Self {
        Self {
            step: amx::STEP,
            height: amx::PANEL,
            width: amx::PANEL,
            speed: 4 * self.speed,
            units: 4 * UNITS, // what is near at a time is the kernel's own care
            worth_packing: WORTH_PACKING / 2,
            fills_up: true,
            block,
            ..self
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl<P: Pair> FewRows<P> {
    /// The same for slivers whose rows are two groups each.
    fn of_doubles<V>(self) -> Self
    where
        V: Fetch<P::Right, Proof = crate::Avx512, Sum = P::Sum>,
        Double: Lie<V, P::Right>,
    {
        let strips = functions::avx512::Strips::<V, P::Right, Double>::STRIPS;
        Self { strips: self.strips.map(|(_, total)| (strips, total)), ..self }
    }
}
