//! Lines, and what must be alike.

use model::hash::sha256_hex;

/// A line of the output.
pub fn line(what: &str, bytes: &[u8], by: &str) {
    println!("{what} {} # {by}", &sha256_hex(bytes)[..32]);
}

/// A line of what several gave, which must be the same.
pub fn all_alike(what: &str, given: &[(&str, Vec<u8>)]) {
    let (first_id, first) = &given[0];
    if let Some((id, _)) = given.iter().find(|(_, bytes)| bytes != first) {
        eprintln!("{what}: {id} and {first_id} give other bits");
        std::process::exit(1);
    }
    let ids: Vec<&str> = given.iter().map(|(id, _)| *id).collect();
    line(what, first, &ids.join(", "));
}

/// Bytes of floats. IEEE 754 leaves sign and payload of a NaN to the machine (x86 makes negative ones, Arm positive
/// ones): each is the same here.
pub fn bytes_of(floats: &[f32]) -> Vec<u8> {
    let one = |x: &f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
    floats.iter().flat_map(|x| one(x).to_le_bytes()).collect()
}
