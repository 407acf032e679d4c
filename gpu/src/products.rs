//! Matrix products through cuBLASLt.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::cublaslt::{result, sys};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr as _};

use super::device::Kind;
use super::error::GpuError;

/// What cuBLASLt may use for itself.
const WORKSPACE: usize = 64 << 20;

/// The library, and for every shape the way that it chose.
pub(crate) struct Products {
    handle: sys::cublasLtHandle_t,
    workspace: CudaSlice<u8>,
    plans: Mutex<HashMap<Form, Plan>>,
}

/// What a product looks like: `[rows, inputs]` times `[outputs, inputs]` transposed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Form {
    rows: usize,
    inputs: usize,
    outputs: usize,
    bf16: bool,
    /// Whether the result is in f32.
    wide: bool,
}

#[derive(Clone, Copy)]
struct Plan {
    description: sys::cublasLtMatmulDesc_t,
    a: sys::cublasLtMatrixLayout_t,
    b: sys::cublasLtMatrixLayout_t,
    c: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

// SAFETY: handles of a library that may be called from any thread.
#[expect(unsafe_code, reason = "handles of a library")]
unsafe impl Send for Products {}
// SAFETY: as above; the plans are behind a lock.
#[expect(unsafe_code, reason = "handles of a library")]
unsafe impl Sync for Products {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "handles of a library")]
unsafe impl Send for Plan {}

impl Products {
    pub(crate) fn new(stream: &Arc<CudaStream>) -> Result<Self, GpuError> {
        // SAFETY: a workspace is written before it is read.
        #[expect(unsafe_code, reason = "memory that is not cleared")]
        let workspace = unsafe { stream.alloc::<u8>(WORKSPACE)? };
        Ok(Self { handle: result::create_handle()?, workspace, plans: Mutex::default() })
    }

    /// `out = x · weightᵀ`, summed in f32.
    ///
    /// # Shapes
    /// - `x`: `[rows, inputs]`
    /// - `weight`: `[outputs, inputs]`
    /// - `out`: `[rows, outputs]`, in f32 if `wide`
    ///
    /// All are row-major, and in memory that holds as much.
    pub(crate) fn multiply(
        &self,
        stream: &CudaStream,
        kind: Kind,
        [x, weight, out]: [u64; 3],
        [rows, inputs, outputs]: [usize; 3],
        wide: bool,
    ) -> Result<(), GpuError> {
        let form = Form { rows, inputs, outputs, bf16: kind == Kind::Bf16, wide };
        let plan = {
            let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
            match plans.get(&form) {
                Some(plan) => *plan,
                None => *plans.entry(form).or_insert(self.plan(form)?),
            }
        };
        let (one, zero) = (1.0_f32, 0.0_f32);
        let workspace = self.workspace.device_ptr(stream).0;
        // SAFETY: the layouts say what lies at the pointers, which the callers own.
        #[expect(unsafe_code, reason = "a call of a library")]
        unsafe {
            result::matmul(
                self.handle,
                plan.description,
                (&raw const one).cast(),
                (&raw const zero).cast(),
                weight as *const c_void,
                plan.a,
                x as *const c_void,
                plan.b,
                out as *const c_void,
                plan.c,
                out as *mut c_void,
                plan.c,
                &raw const plan.algorithm,
                workspace as *mut c_void,
                WORKSPACE,
                stream.cu_stream().cast(),
            )?;
        }
        Ok(())
    }

    /// The library stores columns: what is `[rows, n]` here is `[n, rows]` there.
    fn plan(&self, form: Form) -> Result<Plan, GpuError> {
        let half = if form.bf16 { sys::cudaDataType::CUDA_R_16BF } else { sys::cudaDataType::CUDA_R_16F };
        let single = sys::cudaDataType::CUDA_R_32F;
        let description = result::create_matmul_desc(sys::cublasComputeType_t::CUBLAS_COMPUTE_32F, single)?;
        let layout = |ty, rows: usize, columns: usize| {
            result::create_matrix_layout(ty, rows as u64, columns as u64, rows as i64)
        };
        let a = layout(half, form.inputs, form.outputs)?;
        let b = layout(half, form.inputs, form.rows)?;
        let c = layout(if form.wide { single } else { half }, form.outputs, form.rows)?;
        let preference = result::create_matmul_pref()?;
        let (transposed, workspace) = (1_i32, WORKSPACE);
        // SAFETY: all was made above, and the attributes have these types.
        #[expect(unsafe_code, reason = "calls of a library")]
        let found = unsafe {
            result::set_matmul_desc_attribute(
                description,
                sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA,
                (&raw const transposed).cast(),
                size_of_val(&transposed),
            )?;
            result::set_matmul_pref_attribute(
                preference,
                sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                (&raw const workspace).cast(),
                size_of_val(&workspace),
            )?;
            let found = result::get_matmul_algo_heuristic(self.handle, description, a, b, c, c, preference)?;
            result::destroy_matmul_pref(preference)?;
            found
        };
        Ok(Plan { description, a, b, c, algorithm: found.algo })
    }
}
