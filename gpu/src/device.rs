//! A GPU that is ready to compute.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, CudaStream, sys};
use cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};

use super::clock::Clock;
use super::error::GpuError;
use super::ops::tile_bytes;
use super::products::Products;
use super::staging::Staging;

/// The type of weights and activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// bfloat16.
    Bf16,
    /// IEEE half floats.
    F16,
}

/// A GPU, one stream of work on it, and the kernels for one width of heads.
pub struct Device {
    pub(crate) stream: Arc<CudaStream>,
    pub(crate) products: Products,
    functions: HashMap<&'static str, CudaFunction>,
    /// The type of weights and activations.
    pub kind: Kind,
    /// Streaming multiprocessors.
    pub(crate) processors: u32,
    pub(crate) clock: Clock,
    pub(crate) staging: Staging,
}

/// The kernels.
const NAMES: [&str; 13] = [
    "gather_rows",
    "add_norm",
    "rotate",
    "remember",
    "swiglu",
    "fill_normal",
    "attend",
    "attend_one",
    "attend_rows",
    "select_features",
    "unexplained",
    "pick_logits",
    "draw_tokens",
];

const SOURCES: [&str; 7] = [
    include_str!("../kernels/numbers.cuh"),
    include_str!("../kernels/rows.cu"),
    include_str!("../kernels/attend.cu"),
    include_str!("../kernels/attend_one.cu"),
    include_str!("../kernels/attend_rows.cu"),
    include_str!("../kernels/select.cu"),
    include_str!("../kernels/logits.cu"),
];

impl Device {
    /// Opens the GPU with that number and compiles the kernels for heads of `head` columns.
    ///
    /// # Errors
    /// If there is no such device, or it refuses.
    pub fn open(number: usize, kind: Kind, head: usize) -> Result<Self, GpuError> {
        if ![64, 128].contains(&head) {
            return Err(GpuError::Unsupported { what: "heads", found: head, known: "64 and 128 columns" });
        }
        if number >= count() {
            return Err(GpuError::NoDevice(number));
        }
        if let Some(missing) = missing() {
            return Err(GpuError::Missing(missing));
        }
        let context = CudaContext::new(number).map_err(|_| GpuError::NoDevice(number))?;
        // SAFETY: all work is on one stream, in order, so that nothing has to be tracked by events.
        #[expect(unsafe_code, reason = "a setting of the driver's wrapper")]
        unsafe {
            context.disable_event_tracking();
        }
        keep_freed_memory(number)?;
        let stream = context.new_stream()?;
        let (major, minor) = context.compute_capability()?;
        let architecture =
            if major == 9 { "compute_90a".to_owned() } else { format!("compute_{major}{minor}") };
        let options = CompileOptions {
            options: vec![format!("--gpu-architecture={architecture}"), "--std=c++17".to_owned()],
            include_paths: includes(),
            ..CompileOptions::default()
        };
        let module = context.load_module(compile_ptx_with_opts(source(kind, head), options)?)?;
        let mut functions = HashMap::new();
        for name in NAMES {
            functions.insert(name, module.load_function(name)?);
        }
        // More than the 48 KiB that a block may have unless it is said.
        let shared = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        functions["attend"].set_attribute(shared, tile_bytes(head).cast_signed())?;
        let processors =
            context.attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        Ok(Self {
            products: Products::new(&stream)?,
            stream,
            functions,
            kind,
            processors: processors.cast_unsigned(),
            clock: Clock::default(),
            staging: Staging::default(),
        })
    }

    /// A kernel by its name.
    pub(crate) fn function(&self, name: &'static str) -> &CudaFunction {
        &self.functions[name]
    }

    /// Waits until all that was asked for is done.
    ///
    /// # Errors
    /// If some of it failed.
    pub fn wait(&self) -> Result<(), GpuError> {
        Ok(self.stream.synchronize()?)
    }

    /// Bytes that are free, and that there are. What the driver keeps of memory that was freed counts as free.
    ///
    /// # Errors
    /// If the device cannot be asked.
    pub fn memory(&self) -> Result<(usize, usize), GpuError> {
        let (free, all) = self.stream.context().mem_get_info()?;
        Ok((free + kept_memory(self.stream.context().ordinal())?, all))
    }

    /// The most bytes that were in use at once.
    ///
    /// # Errors
    /// If the device cannot be asked.
    pub fn peak_memory(&self) -> Result<usize, GpuError> {
        let number = self.stream.context().ordinal();
        of_pool(number, sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)
    }

    /// The name of the device.
    ///
    /// # Errors
    /// If the device cannot be asked.
    pub fn name(&self) -> Result<String, GpuError> {
        Ok(self.stream.context().name()?)
    }
}

/// How many GPUs there are; none where there is no driver.
pub fn count() -> usize {
    // SAFETY: only looks for the library of the driver.
    #[expect(unsafe_code, reason = "a question to the loader")]
    let has_driver = unsafe { sys::is_culib_present() };
    let found = if has_driver { CudaContext::device_count().unwrap_or_default() } else { 0 };
    usize::try_from(found).unwrap_or_default()
}

/// What the kernels need beside the driver and is not there. The libraries are looked for as the system does it
/// (`LD_LIBRARY_PATH`), the headers below `CUDA_PATH`, `/usr/local/cuda` and `/opt/cuda`.
pub fn missing() -> Option<&'static str> {
    // SAFETY: only looks for libraries.
    #[expect(unsafe_code, reason = "questions to the loader")]
    let (compiler, products) =
        unsafe { (cudarc::nvrtc::sys::is_culib_present(), cudarc::cublaslt::sys::is_culib_present()) };
    match (compiler, products, includes().is_empty()) {
        (false, ..) => Some("NVRTC, the compiler of CUDA,"),
        (_, false, _) => Some("cuBLASLt"),
        (.., true) => Some("the headers of CUDA"),
        _ => None,
    }
}

/// The text of all kernels for a type and a width of heads.
pub(crate) fn source(kind: Kind, head: usize) -> String {
    let ty = match kind {
        Kind::Bf16 => "#include <cuda_bf16.h>\n#define T __nv_bfloat16\n",
        Kind::F16 => "#include <cuda_fp16.h>\n#define T __half\n#define HALF\n",
    };
    let mut text = format!("{ty}#define HEAD {head}\n");
    text.extend(SOURCES);
    text
}

/// Lets the driver keep memory that is freed, since each pass asks for the same again.
fn keep_freed_memory(number: usize) -> Result<(), GpuError> {
    let (mut pool, mut all) = (std::ptr::null_mut(), u64::MAX);
    // SAFETY: the pointers are to values of the types that the driver writes and reads.
    #[expect(unsafe_code, reason = "settings of the driver")]
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, number as i32).result()?;
        let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        sys::cuMemPoolSetAttribute(pool, threshold, (&raw mut all).cast()).result()?;
    }
    Ok(())
}

/// What the driver says of the memory of its pool.
fn of_pool(number: usize, attribute: sys::CUmemPool_attribute) -> Result<usize, GpuError> {
    let (mut pool, mut bytes) = (std::ptr::null_mut(), 0_u64);
    // SAFETY: the pointers are to values of the types that the driver writes.
    #[expect(unsafe_code, reason = "questions to the driver")]
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, number as i32).result()?;
        sys::cuMemPoolGetAttribute(pool, attribute, (&raw mut bytes).cast()).result()?;
    }
    Ok(bytes as usize)
}

/// Bytes that the driver keeps and nobody uses.
fn kept_memory(number: usize) -> Result<usize, GpuError> {
    let reserved = of_pool(number, sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
    let used = of_pool(number, sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?;
    Ok(reserved.saturating_sub(used))
}

/// Where the headers of CUDA may be.
fn includes() -> Vec<String> {
    let roots =
        std::env::var("CUDA_PATH").into_iter().chain(["/usr/local/cuda".to_owned(), "/opt/cuda".to_owned()]);
    let folders = roots.map(|root| format!("{root}/include"));
    folders.filter(|folder| Path::new(folder).join("cuda_bf16.h").is_file()).collect()
}
