import Inference
import Radiography
import Testing

/// What is said of a mask in `predictions.csv`.
@Suite struct PredictionRowTests {
    private let grid = PixelGrid(width: 11, height: 8)

    /// A mask with the given pixels.
    private func mask(_ pixels: [(x: Int, y: Int)]) -> [UInt8] {
        var mask = [UInt8](repeating: 0, count: grid.width * grid.height)
        for pixel in pixels { mask[pixel.y * grid.width + pixel.x] = 1 }
        return mask
    }

    private func side(
        _ pixels: [(x: Int, y: Int)],
        orientation: String? = nil,
        view: String? = nil
    ) -> Laterality? {
        Laterality.Layout(orientation: orientation, view: view)
            .flatMap { Laterality(of: mask(pixels), grid: grid, layout: $0) }
    }

    @Test func thePatientsRightIsAtTheImagesLeftUnlessTheHeaderSaysOtherwise() {
        let left = [(x: 1, y: 1)]
        #expect(side(left) == .right && side([(9, 1)]) == .left)
        #expect(side(left, orientation: "L\\F") == .right && side(left, orientation: "R\\F") == .left)
        #expect(side(left, view: "PA") == .right && side(left, view: "AP") == .right)
        // Turned by a quarter: the halves are above and below.
        #expect(side(left, orientation: "F\\R") == .left && side([(1, 7)], orientation: "F\\R") == .right)
        #expect(Laterality.Layout(orientation: "R\\F", view: nil)?.isFromHeader == true)
        #expect(Laterality.Layout(orientation: nil, view: nil)?.isFromHeader == false)
        // A header that says one direction only says nothing.
        #expect(Laterality.Layout(orientation: "R", view: nil)?.isFromHeader == false)
    }

    @Test func lateralViewsHaveNoSides() {
        for view in ["LL", "RL", "ll", "LATERAL"] { #expect(side([(1, 1)], view: view) == nil) }
        #expect(side([(1, 1)], orientation: "A\\F") == nil && side([(1, 1)], orientation: "P\\F") == nil)
    }

    @Test func aSideCountsFromATenthOfTheMask() {
        #expect(side([]) == nil)
        let nine = (0..<8).map { (x: 1, y: $0) } + [(2, 0)]
        #expect(side(nine + [(9, 0)]) == .both)
        #expect(side(nine + [(2, 1), (9, 0)]) == .right)
        // The middle column of an odd width is of both halves.
        #expect(side([(5, 3)]) == .both)
    }

    @Test func anAreaNeedsTwoLengths() {
        #expect(PredictionRow.pixelArea(0.2, 0.1) == 0.2 * 0.1)
        for (row, column) in [(nil, 0.1), (0.1, nil), (0, 0.1), (-1, 0.1), (.nan, 0.1), (1e200, 1e200)]
            as [(Double?, Double?)]
        {
            #expect(PredictionRow.pixelArea(row, column) == nil)
        }
    }
}
