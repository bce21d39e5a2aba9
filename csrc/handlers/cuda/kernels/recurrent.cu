/* recurrent.cu - one step of an LSTM or a GRU, elementwise: a thread for each cell. The formulas
 * stand in ops.def. sizes: B, n, the activation, whether deltas are added to. */
#define ROW_OF(k) AT(k, row, col)
#define GATE(k, number) AT(k, row, (number)*cols + col)
#define WAS(place) (add ? (place) : 0) /* of what a delta is added to */

AT_EACH_PLACE(lstm_forward, {
    enum { C_BEFORE, Y_BEFORE, KEEP, P, GA, GB, CA, CB, Y };
    const int activation = (int)SIZE(2), kept = ROW_OF(KEEP) != 0;
    const real c_before = ROW_OF(C_BEFORE), y_before = ROW_OF(Y_BEFORE);
    GATE(GA, 1) += AT(P, 0, col) * c_before;
    GATE(GA, 2) += AT(P, 1, col) * c_before;
    const real z = activate(activation, GATE(GA, 0)), i = sigmoid_of(GATE(GA, 1)),
               f = sigmoid_of(GATE(GA, 2)), c = i * z + f * c_before;
    GATE(GA, 3) += AT(P, 2, col) * c;
    const real o = sigmoid_of(GATE(GA, 3)), shown = activate(activation, c);
    GATE(GB, 0) = z;
    GATE(GB, 1) = i;
    GATE(GB, 2) = f;
    GATE(GB, 3) = o;
    ROW_OF(CB) = shown;
    ROW_OF(CA) = kept ? c_before : c;
    ROW_OF(Y) = kept ? y_before : o * shown;
})

/* A kept cell shows its delta to the gates (`shown`), but what they pass on is that of the computed
 * cell (`dc`). Columns of gates have no name of their own: dGa is GATE(DGA, number). */
AT_EACH_PLACE(lstm_backward, {
    enum { DY, KEEP, P, C_BEFORE, GB, CB, DCA, DGA, DGB, DCB, DC_BEFORE };
    const int activation = (int)SIZE(2), kept = ROW_OF(KEEP) != 0;
    const int add = SIZE(3) != 0;
    const real z = GATE(GB, 0), i = GATE(GB, 1), f = GATE(GB, 2), o = GATE(GB, 3);
    const real cb = ROW_OF(CB), c_before = ROW_OF(C_BEFORE), dca = ROW_OF(DCA);
    const real dy = kept ? 0 : ROW_OF(DY);
    const real dob = WAS(GATE(DGB, 3)) + dy * cb, doa = WAS(GATE(DGA, 3)) + dob * o * (1 - o);
    const real dcb = (WAS(ROW_OF(DCB)) + dy * o) * slope(activation, cb);
    const real dc = dcb + AT(P, 2, col) * doa + (kept ? 0 : dca);
    const real shown = kept ? dca : dc;
    const real zb = WAS(GATE(DGB, 0)), ib = WAS(GATE(DGB, 1)), fb = WAS(GATE(DGB, 2));
    const real dia = WAS(GATE(DGA, 1)) + (ib + dc * z) * i * (1 - i);
    const real dfa = WAS(GATE(DGA, 2)) + (fb + dc * c_before) * f * (1 - f);
    GATE(DGA, 0) = WAS(GATE(DGA, 0)) + (zb + dc * i) * slope(activation, z);
    GATE(DGA, 1) = dia;
    GATE(DGA, 2) = dfa;
    GATE(DGA, 3) = doa;
    GATE(DGB, 0) = zb + shown * i;
    GATE(DGB, 1) = ib + shown * z;
    GATE(DGB, 2) = fb + shown * c_before;
    GATE(DGB, 3) = dob;
    ROW_OF(DCB) = dcb;
    ROW_OF(DC_BEFORE) = WAS(ROW_OF(DC_BEFORE)) + (kept ? dca : 0) + dc * f +
                        AT(P, 0, col) * dia + AT(P, 1, col) * dfa;
    ROW_OF(DCA) = shown;
})

AT_EACH_PLACE(gru_forward, {
    enum { Y_BEFORE, BIAS, GA, GB, Y };
    const real r = sigmoid_of(GATE(GA, 1)), z = sigmoid_of(GATE(GA, 2));
    const real s = GATE(GA, 3) + AT(BIAS, 0, col), ha = GATE(GA, 0) + r * s;
    const real h = activate((int)SIZE(2), ha);
    GATE(GA, 3) = s;
    GATE(GA, 0) = ha;
    GATE(GB, 0) = h;
    GATE(GB, 1) = r;
    GATE(GB, 2) = z;
    ROW_OF(Y) = (1 - z) * h + z * ROW_OF(Y_BEFORE);
})

AT_EACH_PLACE(gru_backward, {
    enum { DY, Y_BEFORE, GA, GB, DGA, DGB, DY_BEFORE };
    const int add = SIZE(3) != 0;
    const real h = GATE(GB, 0), r = GATE(GB, 1), z = GATE(GB, 2), s = GATE(GA, 3);
    const real dy = ROW_OF(DY);
    const real dhb = WAS(GATE(DGB, 0)) + dy * (1 - z);
    const real dzb = WAS(GATE(DGB, 2)) + dy * (ROW_OF(Y_BEFORE) - h);
    const real dha = WAS(GATE(DGA, 0)) + dhb * slope((int)SIZE(2), h);
    const real drb = WAS(GATE(DGB, 1)) + dha * s;
    GATE(DGA, 2) = WAS(GATE(DGA, 2)) + dzb * z * (1 - z);
    GATE(DGA, 3) = WAS(GATE(DGA, 3)) + dha * r;
    GATE(DGA, 1) = WAS(GATE(DGA, 1)) + drb * r * (1 - r);
    GATE(DGA, 0) = dha;
    GATE(DGB, 0) = dhb;
    GATE(DGB, 1) = drb;
    GATE(DGB, 2) = dzb;
    ROW_OF(DY_BEFORE) = dy * z;
})
