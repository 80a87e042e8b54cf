//! Reads captures and looks at nothing but where each record ends: the floor under `observer read`.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use observer::tap::{
    SharedInterfaces, TapError,
    file::{FileTap, Input},
};

fn main() -> Result<(), TapError> {
    let inputs: Vec<_> = std::env::args_os().skip(1).map(|name| Input::Path(PathBuf::from(name))).collect();
    let (mut tap, errors) = FileTap::open(&inputs, &SharedInterfaces::default(), Arc::new(AtomicBool::new(false)));
    errors.into_iter().try_for_each(Err)?;
    let (mut frames, mut bytes) = (0_u64, 0);
    while let Some(frame) = tap.next_frame()? {
        frames += 1;
        bytes += frame.bytes.len();
    }
    println!("{frames} frames, {bytes} bytes");
    Ok(())
}
