//! Calls that must be refused, and what they say.

use kernels::parallel::Columns;
use kernels::{
    CodeTable, Codes, CpuFeatures, FloatActivations, Kernel, KernelError, PackedWeights, QuantizedActivations, Scales,
    registry,
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
fn weights_of_another_packing_are_refused() {
    let (x, foreign) = (QuantizedActivations::from_values(&[1; 256], 1.0), weights("scalar", CodeTable::TERNARY));
    let error = kernel("scalar-i8").gemv_i8(&foreign, 0..4, &x, &mut [0; 4]);
    assert!(matches!(error, Err(KernelError::LayoutMismatch { kernel: "scalar-i8", .. })), "{error:?}");
}

#[test]
fn integer_kernels_refuse_the_seeds_table() {
    let x = QuantizedActivations::from_values(&[1; 256], 1.0);
    let error = kernel("scalar-i8").gemv_i8(&weights("scalar-i8", CodeTable::SEED), 0..4, &x, &mut [0; 4]);
    assert_eq!(error, Err(KernelError::CodeTable { kernel: "scalar-i8", table: [-2, -1, 1, 2] }));
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
fn an_operation_of_the_other_family_is_refused() {
    let (float, integer) = (FloatActivations::new(256), QuantizedActivations::new(256));
    let error = kernel("scalar").gemv_i8(&weights("scalar", CodeTable::TERNARY), 0..4, &integer, &mut [0; 4]);
    assert!(error.is_err_and(|e| e.to_string().contains("scalar has no gemv with int8")));
    let i8s = weights("scalar-i8", CodeTable::TERNARY);
    assert!(kernel("scalar-i8").gemv_f32(&i8s, 0..4, &float, &mut [0.0; 4]).is_err());
    assert!(kernel("scalar-i8").dequantize(&i8s, 0..4, &mut [0.0; 1024]).is_err());
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
            let mut y = vec![7; rows - start];
            let result = kernel.gemv_i8(&weights, start..rows, &x, &mut y);
            let on_boundary = start % panel_rows == 0;
            assert_eq!(result.is_ok(), on_boundary, "{} from row {start}", descriptor.id);
            assert_eq!(y, vec![if on_boundary { 20 } else { 7 }; rows - start]);
        }
    }
}

#[test]
fn a_k_beyond_the_proven_bound_is_refused() {
    let k = kernels::MAX_K_I8 + 1;
    let (reference, codes) = (kernel("scalar-i8"), vec![1; k]);
    let weights = PackedWeights::pack(reference.descriptor().layout, Codes::ternary(1, k, &codes, 1.0)).unwrap();
    let x = QuantizedActivations::from_values(&vec![1; k], 1.0);
    let error = reference.gemv_i8(&weights, 0..1, &x, &mut [0]);
    assert_eq!(error, Err(KernelError::TooLarge { rows: 1, k }));
    for descriptor in registry::KERNELS.iter().filter(|d| d.gemm.is_some()) {
        let Ok(kernel) = Kernel::new(descriptor, CpuFeatures::detect()) else { continue };
        let weights = weights.repack(descriptor.layout).unwrap();
        let (x, mut y) = ([x.clone(), x.clone()], [0; 2]);
        let error = kernel.gemm_i8(&weights, 0..1, &x, &mut Columns::all(&mut y, 2, 1));
        assert_eq!(error, Err(KernelError::TooLarge { rows: 1, k }), "{}", descriptor.id);
    }
}
