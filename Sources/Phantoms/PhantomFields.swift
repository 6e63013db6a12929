/// The distance fields of one phantom.
struct PhantomFields {
    var body: DistanceGrid
    var lung: DistanceGrid
    var air: DistanceGrid
    var heart: DistanceGrid
    var scapula: DistanceGrid

    static let coarseSide = 128

    init(anatomy: PhantomAnatomy, collapse: PhantomCollapse?) {
        let side = PhantomCollapse.gridSide
        let band = PhantomCollapse.band
        lung = DistanceGrid(side: side, repeating: -band)
        for cavity in anatomy.lungs { lung.add(polygon: cavity.contour, band: band) }
        if let collapse {
            air = collapse.air
            // The air lies in the cavity, also where a given mask says so.
            if air.side == lung.side {
                for index in lung.values.indices { lung.values[index] = max(lung.values[index], air.values[index]) }
            }
        } else {
            air = DistanceGrid(side: side, repeating: -band)
        }
        body = DistanceGrid(side: Self.coarseSide, polygon: anatomy.body, band: 0.08)
        // Wherever a lung is, there is a body around it.
        for row in 0..<Self.coarseSide {
            for column in 0..<Self.coarseSide {
                let point = (PhantomPoint(Float(column), Float(row)) + 0.5) / Float(Self.coarseSide)
                let index = row * Self.coarseSide + column
                body.values[index] = max(body.values[index], min(0.08, lung.value(at: point) + 0.035))
            }
        }
        heart = DistanceGrid(side: Self.coarseSide, polygon: anatomy.mediastinum, band: 0.06)
        scapula = DistanceGrid(side: Self.coarseSide, repeating: -0.02)
        for blade in anatomy.scapulae { scapula.add(polygon: blade, band: 0.02) }
    }

    /// The fields along one row of pixels.
    struct Reader {
        private let fields: PhantomFields
        private let texture: PhantomTexture
        private var fine: GridRows
        private var coarse: GridRows
        private var grain: GridRows
        private var broad: GridRows
        private var blobs: GridRows
        private let rows: RowBuffers

        var body: UnsafeMutablePointer<Float> { rows[0] }
        var lung: UnsafeMutablePointer<Float> { rows[1] }
        var air: UnsafeMutablePointer<Float> { rows[2] }
        var heart: UnsafeMutablePointer<Float> { rows[3] }
        var scapula: UnsafeMutablePointer<Float> { rows[4] }
        var parenchyma: UnsafeMutablePointer<Float> { rows[5] }
        var tissue: UnsafeMutablePointer<Float> { rows[6] }
        var opacity: UnsafeMutablePointer<Float> { rows[7] }

        init(fields: PhantomFields, texture: PhantomTexture, size: Int) {
            self.fields = fields
            self.texture = texture
            fine = GridRows(side: PhantomCollapse.gridSide, size: size)
            coarse = GridRows(side: PhantomFields.coarseSide, size: size)
            grain = GridRows(side: PhantomTexture.parenchymaSide, size: size)
            broad = GridRows(side: PhantomTexture.tissueSide, size: size)
            blobs = GridRows(side: PhantomTexture.opacitySide, size: size)
            rows = RowBuffers(count: 8, size: size)
        }

        mutating func read(row y: Int) {
            coarse.read(fields.body, row: y, into: body)
            fine.read(fields.lung, row: y, into: lung)
            fine.read(fields.air, row: y, into: air)
            coarse.read(fields.heart, row: y, into: heart)
            coarse.read(fields.scapula, row: y, into: scapula)
            grain.read(texture.parenchyma, row: y, into: parenchyma)
            broad.read(texture.tissue, row: y, into: tissue)
            blobs.read(texture.opacity, row: y, into: opacity)
        }
    }
}

/// Several rows of values, freed with their owner.
private final class RowBuffers {
    private let values: UnsafeMutablePointer<Float>
    private let size: Int

    init(count: Int, size: Int) {
        self.size = size
        values = .allocate(capacity: count * size)
        values.initialize(repeating: 0, count: count * size)
    }

    deinit {
        values.deallocate()
    }

    subscript(row: Int) -> UnsafeMutablePointer<Float> { values + row * size }
}
