//! Calls that must be refused, and what they say.

use kernels::parallel::Columns;
use kernels::{
    CodeTable, Codes, CpuFeatures, Family, FloatActivations, Kernel, KernelError, PackedWeights, QuantizedActivations,
    Scales, registry,
};

fn kernel(id: &str) -> Kernel {
    Kernel::new(registry::find(id).expect("registered"), CpuFeatures::detect()).expect("scalar kernels run everywhere")
}

/// Ones for this kernel to read.
fn weights(id: &str, table: CodeTable) -> PackedWeights {
    let scales = Scales::PerTensor(1.0);
    PackedWeights::pack(kernel(id).descriptor().layout, Codes { rows: 4, k: 256, codes: &[1; 1024], table, scales })
        .expect("valid")
}

#[test]
fn foreign_weights_tables_and_operations_are_refused() {
    let (integer, float) = (kernel("scalar-i8"), kernel("scalar"));
    let (ones, floats) = (QuantizedActivations::from_values(&[1; 256], 1.0), FloatActivations::new(256));
    let (i8s, f32s) = (weights("scalar-i8", CodeTable::TERNARY), weights("scalar", CodeTable::TERNARY));
    let foreign = integer.gemv_i8(&f32s, 0..4, &ones, &mut [0; 4]);
    assert!(matches!(foreign, Err(KernelError::LayoutMismatch { kernel: "scalar-i8", .. })), "{foreign:?}");
    let seed = integer.gemv_i8(&weights("scalar-i8", CodeTable::SEED), 0..4, &ones, &mut [0; 4]);
    assert_eq!(seed, Err(KernelError::CodeTable { kernel: "scalar-i8", table: [-2, -1, 1, 2] }));
    for (lacking, message) in [
        (float.gemv_i8(&f32s, 0..4, &ones, &mut [0; 4]), "kernel scalar has no gemv with int8 activations"),
        (float.gemv_groups(&f32s, 0..4, &ones, &mut [0.0; 4]), "kernel scalar has no gemv with scales of groups"),
        (integer.gemv_f32(&i8s, 0..4, &floats, &mut [0.0; 4]), "kernel scalar-i8 has no gemv with f32 activations"),
        (integer.dequantize(&i8s, 0..4, &mut [0.0; 1024]), "kernel scalar-i8 has no dequantize"),
    ] {
        assert_eq!(lacking.expect_err("no such operation").to_string(), message);
    }
}

#[test]
fn wrong_lengths_write_nothing() {
    let (scalar, weights) = (kernel("scalar"), weights("scalar", CodeTable::TERNARY));
    let x = FloatActivations::new(256);
    let mut y = [7.0; 4];
    assert!(scalar.gemv_f32(&weights, 0..3, &x, &mut y).is_err());
    assert!(scalar.gemv_f32(&weights, 1..5, &x, &mut y).is_err());
    assert!(scalar.gemv_f32(&weights, 0..4, &FloatActivations::new(255), &mut y).is_err());
    assert!(scalar.dequantize(&weights, 0..4, &mut y).is_err());
    assert_eq!(y, [7.0; 4]);
}

#[test]
fn ranges_that_start_inside_a_panel_are_refused() {
    for descriptor in registry::KERNELS.iter().filter(|d| d.layout.rows > 1) {
        let Ok(kernel) = Kernel::new(descriptor, CpuFeatures::detect()) else { continue };
        let panel_rows = descriptor.layout.rows;
        let rows = 3 * panel_rows;
        let codes = vec![2; rows * 20];
        let weights = PackedWeights::pack(descriptor.layout, Codes::ternary(rows, 20, &codes, 1.0)).unwrap();
        let x = QuantizedActivations::from_values(&[1; 20], 1.0);
        for start in 0..rows {
            let (mut y, mut floats) = (vec![7; rows - start], vec![7.0; rows - start]);
            let result = match descriptor.family() {
                Family::W2gA8 => kernel.gemv_groups(&weights, start..rows, &x, &mut floats),
                _ => kernel.gemv_i8(&weights, start..rows, &x, &mut y),
            };
            y.iter_mut().zip(floats).filter(|(_, float)| *float != 7.0).for_each(|(y, float)| *y = float as i32);
            let on_boundary = start % panel_rows == 0;
            assert_eq!(result.is_ok(), on_boundary, "{} from row {start}", descriptor.id);
            assert_eq!(y, vec![if on_boundary { 20 } else { 7 }; rows - start]);
        }
    }
}

#[test]
fn a_k_beyond_the_proven_bound_is_refused() {
    let k = kernels::MAX_K_I8 + 1;
    let (codes, refused) = (vec![1; k], Err(KernelError::TooLarge { rows: 1, k }));
    let x = QuantizedActivations::from_values(&vec![1; k], 1.0);
    for descriptor in registry::KERNELS.iter().filter(|d| d.family() != Family::W2A32) {
        let Ok(kernel) = Kernel::new(descriptor, CpuFeatures::detect()) else { continue };
        let weights = PackedWeights::pack(descriptor.layout, Codes::ternary(1, k, &codes, 1.0)).unwrap();
        let gemv = match descriptor.family() {
            Family::W2gA8 => kernel.gemv_groups(&weights, 0..1, &x, &mut [0.0]),
            _ => kernel.gemv_i8(&weights, 0..1, &x, &mut [0]),
        };
        assert_eq!(gemv, refused, "{}", descriptor.id);
        if descriptor.gemm.is_some() {
            let (x, mut y) = ([x.clone(), x.clone()], [0; 2]);
            let gemm = kernel.gemm_i8(&weights, 0..1, &x, &mut Columns::all(&mut y, 2, 1));
            assert_eq!(gemm, refused, "{}", descriptor.id);
        }
    }
}
