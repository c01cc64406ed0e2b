//! float32 products on one thread: the engine against the crates `gemm` and `matrixmultiply`.

mod race;

fn main() {
    race::run(
        "one thread",
        1,
        &[
            (4, 4, 4),
            (16, 16, 16),
            (64, 64, 64),
            (128, 128, 128),
            (256, 256, 256),
            (512, 512, 512),
            (1024, 1024, 1024),
            (1, 1024, 1024),
            (4, 1024, 1024),
            (17, 31, 13),
            (64, 784, 128),
            (1000, 3, 1000),
            (10000, 16, 16),
            (16, 20000, 16),
        ],
    );
}
