//! float32 products on all threads: the engine against the crates `gemm` and `matrixmultiply`, of which the
//! latter takes four at most.

mod race;

fn main() {
    let threads = threadwise::Context::new().expect("the environment makes sense").threads;
    race::run(
        "all threads",
        threads,
        &[
            (64, 64, 64),
            (128, 128, 128),
            (256, 256, 256),
            (512, 512, 512),
            (1024, 1024, 1024),
            (4, 4096, 4096),
            (64, 784, 128),
            (1000, 3, 1000),
            (10000, 16, 16),
            (16, 100_000, 16),
        ],
    );
}
