// swift-tools-version: 6.2

import PackageDescription

/// Settings of every Swift target: one strict dialect for the whole package.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

/// A kernel target compiles folders of `Sources/KernelsSIMD` (through symlinks) for one instruction set: `Shared`, and
/// `Float` or `BFloat16`.
///
/// `-Ounchecked` removes the overflow and precondition traps that would keep the inner loops from vectorising; the doors
/// of the kernels check their arguments once, in the caller.
func kernelSettings(_ instructionSet: String, march: String, features: [String] = []) -> [SwiftSetting] {
    strict + [
        .define(instructionSet),
        .unsafeFlags(features.flatMap { ["-Xcc", $0] }),
        .unsafeFlags([
            "-Xcc", "-march=\(march)", "-Ounchecked",
            // Tiles are inlined across files, in debug builds too: without it they would be calls of generics.
            "-whole-module-optimization", "-disable-batch-mode", "-num-threads", "2",
            // A specialised signature is a weak symbol; see the check of the kernels' symbols in .ci.
            "-Xllvm", "-sil-disable-pass=function-signature-opts",
        ]),
    ]
}

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")

let systemLibraries: [Target] = [
    .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
    .systemLibrary(name: "CHDF5", pkgConfig: "hdf5-serial", providers: [.apt(["libhdf5-dev"])]),
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
]

let shims: [Target] = [
    // DCMTK behind a C header.
    .target(
        name: "CDICOM",
        linkerSettings: [
            .linkedLibrary("dcmjpeg"), .linkedLibrary("dcmjpls"), .linkedLibrary("dcmimage"),
            .linkedLibrary("dcmimgle"), .linkedLibrary("dcmdata"), .linkedLibrary("ofstd"), .linkedLibrary("oflog"),
        ]
    ),
    // libpng and libjpeg behind functions that return error codes: both report errors with longjmp.
    .target(name: "CRaster", linkerSettings: [.linkedLibrary("png"), .linkedLibrary("jpeg")]),
    // Linux calls that Swift cannot import: CPUID, memfd, futex, prctl, atomics on shared memory.
    .target(name: "CSystem"),
    // XXH3 compiled for AVX2 and AVX-512 too, from libxxhash's header.
    .target(name: "CHash", exclude: ["variant.inc"]),
    // Inline functions for the kernels, header only.
    .target(name: "CIntrinsics"),
]

/// What all stand on: errors that users read, numbers, the order of sums, kernels, the mathematics of networks. These modules import
/// no other than each other and the compiler's C headers: no Foundation, no clock, no task (`.ci/check-rooms`).
let pure: [Target] = [
    .target(name: "Diagnostics", swiftSettings: strict),
    .target(name: "Settings", dependencies: ["Diagnostics"], swiftSettings: strict),
    .target(name: "Numerics", swiftSettings: strict),
    .target(name: "Reduction", swiftSettings: strict),
    .target(name: "Kernels", dependencies: ["Numerics"], swiftSettings: strict),
    .target(
        name: "KernelsAVX2",
        dependencies: ["Kernels", "Numerics", "CIntrinsics"],
        swiftSettings: kernelSettings("AVX2", march: "x86-64-v3")
    ),
    .target(
        name: "KernelsAVX512",
        dependencies: ["Kernels", "Numerics", "CIntrinsics"],
        swiftSettings: kernelSettings("AVX512", march: "x86-64-v4")
    ),
    // The shared sources once more, for feature maps of bfloat16.
    .target(
        name: "KernelsBF16AVX2",
        dependencies: ["Kernels", "Numerics", "CIntrinsics"],
        swiftSettings: kernelSettings("AVX2", march: "x86-64-v3")
    ),
    .target(
        name: "KernelsBF16AVX512",
        dependencies: ["Kernels", "Numerics", "CIntrinsics"],
        swiftSettings: kernelSettings("AVX512", march: "x86-64-v4", features: ["-mavx512bf16"])
    ),
    .target(
        name: "KernelsReferenceBF16",
        dependencies: ["Kernels", "Numerics"],
        swiftSettings: strict + [.define("BF16")]
    ),
    .target(name: "Losses", dependencies: ["Kernels"], swiftSettings: strict),
    .target(
        name: "Graph",
        dependencies: ["Diagnostics", "Kernels", "Losses", "Numerics", "Reduction"],
        swiftSettings: strict
    ),
    .target(name: "Networks", dependencies: ["Graph", "Kernels", "Losses", "Settings"], swiftSettings: strict),
    .target(
        name: "Optimization",
        dependencies: ["Diagnostics", "Kernels", "Numerics", "Settings"],
        swiftSettings: strict
    ),
    .target(name: "Sampling", dependencies: ["Diagnostics", "Numerics", "Settings"], swiftSettings: strict),
    .target(name: "Coordination", dependencies: ["Numerics", "Reduction", "Sampling"], swiftSettings: strict),
]

/// The machine below: files, threads, processes and streams; libraries behind Swift types.
let ground: [Target] = [
    .target(name: "Platform", dependencies: ["CSystem", "CXXHash", "Diagnostics"], swiftSettings: strict),
    .target(
        name: "KernelSelection",
        dependencies: [
            "CSystem", "Diagnostics", "Kernels", "KernelsAVX2", "KernelsAVX512", "KernelsBF16AVX2", "KernelsBF16AVX512",
            "KernelsReferenceBF16",
        ],
        swiftSettings: strict
    ),
    .target(name: "HDF5IO", dependencies: ["CHDF5", "Diagnostics"], swiftSettings: strict),
    .target(name: "WeightFiles", dependencies: ["Diagnostics", "Platform"], swiftSettings: strict),
    .target(name: "Messaging", dependencies: ["CSystem", "CZeroMQ", "Diagnostics", "Platform"], swiftSettings: strict),
]

/// What is on disk, on the wire, and in a radiograph.
let formats: [Target] = [
    .target(
        name: "Storage",
        dependencies: ["CCrypto", "CZlib", "Diagnostics", "HDF5IO", "Platform"],
        swiftSettings: strict
    ),
    .target(
        name: "Radiography",
        dependencies: ["CDICOM", "CRaster", "CZlib", "Diagnostics", "Numerics", "Platform", "Settings"],
        swiftSettings: strict
    ),
    .target(
        name: "Phantoms",
        dependencies: ["Diagnostics", "Numerics", "Platform", "Radiography"],
        swiftSettings: strict
    ),
    .target(
        name: "Sharding",
        dependencies: ["Diagnostics", "Numerics", "Platform", "Radiography", "Storage"],
        swiftSettings: strict
    ),
    .target(
        name: "Wire",
        dependencies: ["CHash", "Coordination", "Diagnostics", "Reduction", protobuf],
        exclude: ["Protos"],
        swiftSettings: strict
    ),
    .target(
        name: "Collectives",
        dependencies: [
            "CCrypto", "CHash", "CSystem", "CZeroMQ", "Diagnostics", "Kernels", "Messaging", "Platform", "Reduction",
        ],
        swiftSettings: strict
    ),
    .target(
        name: "Configuration",
        dependencies: [
            "Diagnostics", "Graph", "Losses", "Networks", "Optimization", "Platform", "Radiography", "Sampling",
            "Settings", yams,
        ],
        swiftSettings: strict
    ),
    .target(
        name: "Reporting",
        dependencies: ["Diagnostics", "Platform", "Storage", protobuf],
        exclude: ["TensorBoard/Protos"],
        swiftSettings: strict
    ),
]

/// A run: its folder, its model, and what both ends of its connections share.
let run: [Target] = [
    .target(
        name: "RunFolder",
        dependencies: [
            "Configuration", "Coordination", "Diagnostics", "Messaging", "Platform", "Reporting", "Storage",
        ],
        swiftSettings: strict
    ),
    .target(
        name: "RunLinks",
        dependencies: [
            "CHash", "Collectives", "Configuration", "Coordination", "Diagnostics", "Messaging", "Platform",
        ],
        swiftSettings: strict
    ),
    .target(
        name: "ModelSetup",
        dependencies: [
            "Configuration", "Coordination", "Diagnostics", "Graph", "Kernels", "Losses", "Networks", "Optimization",
            "Platform", "Radiography", "Reduction", "RunLinks", "Sampling", "Storage", "WeightFiles",
        ],
        swiftSettings: strict
    ),
]

/// The processes of a run, and what is made of its result.
let runtimes: [Target] = [
    .target(
        name: "WorkerRuntime",
        dependencies: [
            "CSystem", "Collectives", "Configuration", "Coordination", "Diagnostics", "Graph", "KernelSelection",
            "Kernels", "Losses", "Messaging", "ModelSetup", "Networks", "Numerics", "Optimization", "Platform",
            "Radiography",
            "Reduction", "RunFolder", "RunLinks", "Sampling", "Storage", "Wire",
        ],
        swiftSettings: strict
    ),
    .target(
        name: "CoordinatorRuntime",
        dependencies: [
            "CSystem", "Configuration", "Coordination", "Diagnostics", "Graph", "HDF5IO", "Messaging", "ModelSetup",
            "Networks", "Platform", "Reporting", "RunFolder", "RunLinks", "Sampling", "Storage", "Wire",
        ],
        swiftSettings: strict
    ),
    .target(
        name: "Inference",
        dependencies: [
            "Configuration", "Coordination", "Diagnostics", "Graph", "KernelSelection", "Kernels", "ModelSetup",
            "Networks", "Numerics", "Optimization", "Platform", "Radiography", "Reporting", "RunFolder", "Sampling",
            "Sharding", "Storage",
        ],
        swiftSettings: strict
    ),
    .target(
        name: "Launching",
        dependencies: [
            "CSystem", "Configuration", "Coordination", "CoordinatorRuntime", "Diagnostics", "Graph", "Inference",
            "KernelSelection", "Kernels", "Messaging", "ModelSetup", "Networks", "Optimization", "Platform",
            "Reporting", "RunFolder", "RunLinks", "Sampling", "Storage", "WeightFiles",
        ],
        swiftSettings: strict
    ),
]

/// Tools, which no run needs.
let tools: [Target] = [
    .target(
        name: "Simulation",
        dependencies: ["Coordination", "Numerics", "Platform", "Reduction", "Sampling"],
        swiftSettings: strict
    ),
    .target(
        name: "Doctor",
        dependencies: [
            "CSystem", "Configuration", "Coordination", "Diagnostics", "KernelSelection", "Kernels", "Launching",
            "Messaging", "ModelSetup", "Platform", "RunFolder", "Storage", "WorkerRuntime",
        ],
        swiftSettings: strict
    ),
    .target(
        name: "Chaos",
        dependencies: [
            "Configuration", "Coordination", "CoordinatorRuntime", "Diagnostics", "Launching", "Messaging", "Numerics",
            "Platform", "RunFolder", "Storage",
        ],
        swiftSettings: strict
    ),
    .target(
        name: "Fuzzing",
        dependencies: [
            "Collectives", "Configuration", "Coordination", "Diagnostics", "Doctor", "Launching", "Messaging",
            "Numerics", "Platform", "Radiography", "Reduction", "RunFolder", "RunLinks", "Storage", "WeightFiles",
            "Wire", "WorkerRuntime",
        ],
        swiftSettings: strict
    ),
    .target(
        name: "Benchmarks",
        dependencies: [
            "CSystem", "Collectives", "Configuration", "Coordination", "CoordinatorRuntime", "Diagnostics", "Graph",
            "KernelSelection", "Kernels", "Launching", "Losses", "Messaging", "ModelSetup", "Networks", "Optimization",
            "Phantoms", "Platform", "Radiography", "Reduction", "RunFolder", "RunLinks", "Sampling", "Storage", "Wire",
            "WorkerRuntime",
        ],
        swiftSettings: strict
    ),
]

let program: [Target] = [
    .executableTarget(
        name: "pleura",
        dependencies: [
            argumentParser, "Benchmarks", "CSystem", "Chaos", "Collectives", "Configuration", "Coordination",
            "CoordinatorRuntime", "Diagnostics", "Doctor", "Fuzzing", "Graph", "Inference", "KernelSelection",
            "Kernels", "Launching", "Messaging", "ModelSetup", "Networks", "Phantoms", "Platform", "Radiography",
            "Reporting", "RunFolder", "RunLinks", "Sharding", "Simulation", "Storage", "WeightFiles", "WorkerRuntime",
        ],
        swiftSettings: strict
    )
]

/// Modules that have a test target of their own, `Tests/<Module>Tests`, with what it uses besides the module.
let testDependencies: [(module: String, extra: [Target.Dependency])] = [
    ("Platform", ["Diagnostics", "TestSupport"]),
    ("Numerics", []),
    ("Reduction", ["Numerics"]),
    ("Kernels", ["KernelSelection", "Numerics"]),
    ("Graph", ["HDF5IO", "KernelSelection", "Kernels", "Losses", "Numerics", "Reduction", "TestSupport"]),
    (
        "Networks",
        ["Graph", "KernelSelection", "Kernels", "Losses", "Numerics", "Optimization", "Settings", "TestSupport"]
    ),
    ("Optimization", ["HDF5IO", "KernelSelection", "Kernels", "Numerics", "Settings"]),
    ("Sampling", ["Settings"]),
    ("Coordination", ["Reduction", "Sampling"]),
    ("Simulation", ["Coordination", "Sampling"]),
    ("Messaging", ["Diagnostics", "HostilePeer", "Platform"]),
    ("WeightFiles", ["TestSupport"]),
    ("HDF5IO", ["Diagnostics"]),
    ("Storage", ["Diagnostics", "HDF5IO", "Platform"]),
    ("Radiography", ["Diagnostics", "Numerics", "Platform", "Settings", "TestSupport"]),
    ("Phantoms", ["Diagnostics", "Radiography", "TestSupport"]),
    ("Sharding", ["Diagnostics", "Numerics", "Platform", "Radiography", "Storage", "TestSupport"]),
    ("Wire", ["Coordination", "Numerics", "Reduction"]),
    ("Collectives", ["Benchmarks", "CHash", "CXXHash", "KernelSelection", "Messaging", "Platform", "Reduction"]),
    (
        "Configuration",
        ["Diagnostics", "Losses", "Networks", "Optimization", "Platform", "Radiography", "Sampling", "Settings"]
    ),
    ("Reporting", ["Diagnostics", "Storage"]),
    (
        "RunFolder",
        [
            "Configuration", "Coordination", "Diagnostics", "Messaging", "Platform", "Reporting", "Storage",
            "TestSupport",
        ]
    ),
    ("RunLinks", ["Collectives", "Configuration", "Messaging", "TestSupport"]),
    (
        "ModelSetup",
        [
            "Configuration", "Coordination", "Graph", "Networks", "Optimization", "Platform", "RunFolder", "Sampling",
            "Settings", "Storage", "TestSupport",
        ]
    ),
    (
        "WorkerRuntime",
        [
            "Collectives", "Configuration", "Coordination", "CoordinatorRuntime", "KernelSelection", "Messaging",
            "ModelSetup", "Optimization", "Platform", "Reduction", "Storage", "TestSupport",
        ]
    ),
    (
        "CoordinatorRuntime",
        [
            "Coordination", "Messaging", "Platform", "Reporting", "RunLinks", "Storage", "TestSupport", "WorkerRuntime",
        ]
    ),
    ("Inference", ["Radiography", "RunFolder", "Storage", "TestSupport"]),
    (
        "Launching",
        [
            "Configuration", "Coordination", "ModelSetup", "Networks", "Optimization", "Platform", "RunFolder",
            "RunLinks",
            "Sampling", "Storage", "TestSupport",
        ]
    ),
    ("Chaos", ["Platform"]),
    ("Integration", ["CHash", "CSystem", "HostilePeer", "Platform", "Radiography", "Storage"]),
]

let tests: [Target] = testDependencies.map { entry in
    let own: [Target.Dependency] = entry.module == "Integration" ? [] : [.init(stringLiteral: entry.module)]
    return .testTarget(
        name: "\(entry.module)Tests",
        dependencies: own + entry.extra,
        swiftSettings: strict
    )
}

/// What tests start as processes of their own, and load into them.
let testTools: [Target] = [
    // System calls that fail when they are told to; see its header.
    .target(name: "FaultInjection", path: "Tests/FaultInjection"),
    // What an intruder sends; see its header.
    .target(name: "HostilePeer", path: "Tests/HostilePeer", swiftSettings: strict),
    // What many tests share: a folder of their own, a small data set.
    .target(
        name: "TestSupport",
        dependencies: ["Platform", "Radiography", "Storage"],
        path: "Tests/TestSupport",
        swiftSettings: strict
    ),
    .executableTarget(
        name: "CheckpointVictim",
        dependencies: ["Platform", "Storage"],
        path: "Tests/CheckpointVictim",
        swiftSettings: strict
    ),
]

let package = Package(
    name: "pleura",
    products: [
        .executable(name: "pleura", targets: ["pleura"]),
        .library(name: "FaultInjection", type: .dynamic, targets: ["FaultInjection"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    ],
    targets: systemLibraries + shims + pure + ground + formats + run + runtimes + tools + program + testTools + tests,
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
