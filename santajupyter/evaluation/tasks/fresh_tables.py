"""Tables that no text names the columns of, and lines of code about them; see fresh.py.

A column has a kind and three names, of which one is drawn. In a line ``{port}`` is the name of that
column; every such hole is a place. The table is read into the variable that its title names.
"""

from __future__ import annotations

# title, its columns, the lines; a column: its key, the kind of its values, its names
TABLES: tuple[tuple[str, str, str], ...] = (
    (
        "ships",
        """
        vessel text vessel ship_name hull
        flag category flag registry country
        port category port harbour home_port
        left time left_at departed sailed_on
        length number length_m loa overall_length
        depth number draught draft_m depth
        cargo number cargo_t tonnage load_tons
        crew whole crew crew_size hands
        """,
        """
        longest = ships["{length}"].max()
        ships["hour"] = ships["{left}"].dt.hour
        ships.groupby("{flag}")["{cargo}"].sum()
        busy = ships[ships["{crew}"] > 20]
        ships["ratio"] = ships["{length}"] / ships["{depth}"]
        ships.sort_values("{cargo}", ascending=False).head(10)
        by_harbour = ships.groupby("{port}").size()
        ships.loc[ships["{depth}"] > 8, "{vessel}"]
        ships.plot.scatter(x="{length}", y="{depth}")
        heavy = ships.query("{cargo} > 1000")
        ships["{vessel}"].str.upper().head()
        ships.agg({"{cargo}": "sum", "{crew}": "mean"})
        people = ships.{crew}.sum()
        ships["weekday"] = ships["{left}"].dt.day_name()
        ships.pivot_table(index="{port}", columns="{flag}", values="{cargo}", aggfunc="sum")
        flags = ships["{flag}"].unique()
        """,
    ),
    (
        "weather",
        """
        day time day date measured_on
        station category station site post
        rain number rain_mm precipitation wet_mm
        high number t_max high_c warmest
        low number t_min low_c coldest
        wind number wind_ms gust wind_speed
        cloud category sky cloud_cover clouds
        """,
        """
        wet = weather[weather["{rain}"] > 0]
        weather["span"] = weather["{high}"] - weather["{low}"]
        weather.set_index("{day}")["{rain}"].resample("MS").sum()
        weather["month"] = weather["{day}"].dt.month
        weather.groupby("{station}").agg({"{rain}": "sum", "{high}": "max"})
        hottest = weather["{high}"].max()
        coldest_days = weather.nsmallest(5, "{low}")
        weather["{cloud}"].value_counts()
        weather.plot(x="{day}", y="{high}")
        stormy = weather.query("{wind} > 15")
        mean_wind = weather.groupby("{cloud}")["{wind}"].mean()
        frost = weather.loc[weather["{low}"] < 0, ["{day}", "{low}"]]
        weather["kmh"] = weather["{wind}"] * 3.6
        stations = sorted(weather["{station}"].unique())
        weather.{rain}.cumsum().tail()
        np.corrcoef(weather["{rain}"], weather["{wind}"])
        """,
    ),
    (
        "loans",
        """
        title text title book book_title
        writer text author writer written_by
        genre category genre shelf subject
        out time lent_on borrowed out_date
        back time returned brought_back return_date
        fine number fine fee penalty_eur
        pages whole pages n_pages page_count
        late flag overdue late is_late
        """,
        """
        loans["days"] = (loans["{back}"] - loans["{out}"]).dt.days
        loans.groupby("{genre}")["{fine}"].sum()
        thick = loans[loans["{pages}"] > 400]
        loans["{title}"].str.contains("the", case=False).sum()
        share = loans["{late}"].mean()
        loans.loc[loans["{late}"], "{title}"].head()
        popular = loans["{writer}"].value_counts().head(3)
        loans["year"] = loans["{out}"].dt.year
        loans.sort_values(by="{out}").tail()
        total = loans.{fine}.sum()
        loans.groupby(["{genre}", "{late}"]).size()
        loans.drop_duplicates(["{title}", "{writer}"])
        expensive = loans.query("{fine} > 2")
        loans.boxplot(column="{pages}", by="{genre}")
        names = loans["{writer}"].str.split().str[-1]
        """,
    ),
    (
        "visits",
        """
        patient text patient patient_id case_no
        ward category ward department unit
        age whole age age_years years_old
        weight number weight_kg mass weight
        height number height_cm stature height
        pulse whole pulse heart_rate bpm
        admitted time admitted admission came_in
        smoker flag smoker smokes is_smoker
        """,
        """
        visits["bmi"] = visits["{weight}"] / (visits["{height}"] / 100) ** 2
        old = visits[visits["{age}"] >= 65]
        visits.groupby("{ward}")["{pulse}"].mean()
        visits["{admitted}"].dt.month.value_counts()
        visits.groupby("{smoker}")["{weight}"].median()
        plt.hist(visits["{age}"], bins=10)
        plt.scatter(visits["{height}"], visits["{weight}"])
        fast = visits.query("{pulse} > 100")
        visits.loc[visits["{smoker}"], "{age}"].mean()
        visits["decade"] = visits["{age}"] // 10 * 10
        n_patients = visits["{patient}"].nunique()
        visits.sort_values("{admitted}", ascending=False)
        wards = visits.{ward}.unique()
        visits.agg({"{age}": "mean", "{height}": "mean"})
        visits.plot(kind="scatter", x="{age}", y="{pulse}")
        """,
    ),
    (
        "sales",
        """
        when time sold_at order_date purchased
        shop category shop store branch
        item category item product article
        amount whole quantity units amount
        price number price unit_price cost_each
        discount number discount rebate off_pct
        customer text customer buyer client
        paid flag paid settled is_paid
        """,
        """
        sales["revenue"] = sales["{amount}"] * sales["{price}"]
        sales.groupby("{shop}").agg({"{amount}": "sum"})
        best = sales.groupby("{item}")["{amount}"].sum().idxmax()
        open_bills = sales[~sales["{paid}"]]
        sales["quarter"] = sales["{when}"].dt.quarter
        sales["net"] = sales["{price}"] * (1 - sales["{discount}"])
        regulars = sales["{customer}"].value_counts()
        sales.pivot_table(index="{item}", columns="{shop}", values="{amount}")
        cheap = sales.query("{price} < 5")
        sales.resample("D", on="{when}")["{amount}"].sum()
        sales.loc[:, ["{item}", "{price}"]].drop_duplicates()
        sales["{customer}"].str.lower().str.strip()
        mean_price = sales.{price}.mean()
        sales.nlargest(3, "{discount}")
        sales.plot.bar(x="{item}", y="{amount}")
        """,
    ),
    (
        "runs",
        """
        runner text runner athlete who
        club category club team squad
        started time started start_time began
        distance number distance_km km dist
        minutes number minutes duration elapsed_min
        climb number climb_m ascent elevation
        shoes category shoes footwear shoe_model
        """,
        """
        runs["pace"] = runs["{minutes}"] / runs["{distance}"]
        runs["{distance}"].sum()
        runs.groupby("{runner}")["{distance}"].sum()
        steep = runs[runs["{climb}"] > 300]
        runs["week"] = runs["{started}"].dt.isocalendar().week
        runs.sort_values("{minutes}").head(1)
        runs.groupby("{shoes}").agg({"{distance}": "sum", "{minutes}": "sum"})
        marathons = runs.query("{distance} > 42")
        runs.plot.scatter(x="{distance}", y="{minutes}")
        clubs = runs["{club}"].nunique()
        early = runs[runs["{started}"].dt.hour < 8]
        runs.{climb}.max()
        runs["{runner}"].str.title()
        runs.loc[runs["{distance}"].idxmax(), "{runner}"]
        speed = runs["{distance}"] / (runs["{minutes}"] / 60)
        """,
    ),
    (
        "flats",
        """
        street text street address road
        quarter category quarter district area
        rooms whole rooms n_rooms room_count
        size number size_m2 surface floor_space
        rent number rent monthly_rent rent_eur
        built whole built year_built construction
        heating category heating heat_source heated_by
        lift flag lift has_lift elevator
        """,
        """
        flats["per_m2"] = flats["{rent}"] / flats["{size}"]
        flats.groupby("{quarter}")["{rent}"].median()
        old = flats[flats["{built}"] < 1950]
        flats["{heating}"].value_counts(normalize=True)
        with_lift = flats[flats["{lift}"]]
        plt.scatter(flats["{size}"], flats["{rent}"])
        flats.sort_values(by="{rent}").head()
        big = flats.query("{rooms} >= 4")
        flats["{street}"].str.replace("Str.", "Street")
        flats.groupby("{rooms}")["{size}"].mean()
        X = flats[["{size}", "{rooms}", "{built}"]]
        y = flats["{rent}"]
        flats.boxplot(column="{rent}", by="{quarter}")
        newest = flats.{built}.max()
        flats["age"] = 2024 - flats["{built}"]
        """,
    ),
    (
        "trips",
        """
        bike text bike bike_id number_plate
        origin category origin from_station start_point
        goal category goal to_station end_point
        begun time begun pickup start_ts
        ended time ended dropoff end_ts
        rider category rider user_type membership
        temp number temp_c air_temp temperature
        """,
        """
        trips["duration"] = trips["{ended}"] - trips["{begun}"]
        trips.groupby(["{origin}", "{goal}"]).size().sort_values()
        trips["hour"] = trips["{begun}"].dt.hour
        trips["{rider}"].value_counts().plot(kind="bar")
        warm = trips[trips["{temp}"] > 20]
        round_trips = trips[trips["{origin}"] == trips["{goal}"]]
        trips.groupby(trips["{begun}"].dt.date).size()
        busiest = trips["{bike}"].value_counts().idxmax()
        trips.set_index("{begun}").sort_index()
        cold = trips.query("{temp} < 5")
        trips.{temp}.describe()
        trips.drop(columns=["{bike}", "{temp}"])
        trips.rename(columns={"{rider}": "kind"})
        trips.loc[:, "{goal}"].unique()
        """,
    ),
    (
        "exams",
        """
        pupil text pupil student learner
        form category form class_name grade_level
        subject category subject course topic
        marks number marks points score
        passed flag passed ok success
        sat time sat_on exam_date written
        hours number hours study_hours prep_h
        """,
        """
        exams["{marks}"].mean()
        exams.groupby("{subject}")["{marks}"].agg(["mean", "std"])
        failed = exams[~exams["{passed}"]]
        exams.pivot_table(index="{pupil}", columns="{subject}", values="{marks}")
        best = exams.nlargest(5, "{marks}")
        exams["year"] = exams["{sat}"].dt.year
        np.polyfit(exams["{hours}"], exams["{marks}"], 1)
        exams.groupby("{form}")["{passed}"].mean()
        lazy = exams.query("{hours} < 2")
        exams["{pupil}"].nunique()
        exams.plot.scatter(x="{hours}", y="{marks}")
        exams["z"] = (exams["{marks}"] - exams["{marks}"].mean()) / exams["{marks}"].std()
        rate = exams.{passed}.mean()
        exams.sort_values(["{form}", "{pupil}"])
        exams.loc[exams["{marks}"] < 40, "{pupil}"]
        """,
    ),
    (
        "sensors",
        """
        device category device sensor_id node
        taken time taken timestamp logged_at
        humidity number humidity rel_hum moisture
        heat number temperature celsius temp
        battery number battery volts charge
        status category status state condition
        room category room location place
        """,
        """
        sensors.groupby("{device}")["{heat}"].mean()
        sensors = sensors.sort_values("{taken}")
        damp = sensors[sensors["{humidity}"] > 70]
        sensors["{status}"].value_counts()
        sensors["f"] = sensors["{heat}"] * 9 / 5 + 32
        plt.plot(sensors["{taken}"], sensors["{heat}"])
        empty = sensors.query("{battery} < 3")
        sensors.set_index("{taken}")["{humidity}"].rolling(24).mean()
        sensors.groupby("{room}").agg({"{heat}": "mean", "{humidity}": "mean"})
        sensors["date"] = sensors["{taken}"].dt.date
        sensors.{battery}.min()
        broken = sensors[sensors["{status}"] != "ok"]
        sensors.pivot_table(index="{taken}", columns="{device}", values="{heat}")
        sensors[["{heat}", "{humidity}"]].corr()
        """,
    ),
)

# A dict, its keys with their values, the lines. As a table, but each name is a key.
DICTS: tuple[tuple[str, str, str], ...] = (
    (
        "config",
        """
        rate number learning_rate lr step_size
        epochs whole epochs n_epochs rounds
        folder text out_dir save_to target_folder
        seed whole seed random_state rng_seed
        """,
        """
        np.random.seed(config["{seed}"])
        for epoch in range(config["{epochs}"]): pass
        os.path.join(config["{folder}"], "model.pt")
        lr = config["{rate}"] * 0.1
        """,
    ),
    (
        "totals",
        """
        income number income earnings revenue
        costs number costs expenses spent
        year whole year fiscal_year period
        """,
        """
        profit = totals["{income}"] - totals["{costs}"]
        print("Year:", totals["{year}"])
        """,
    ),
)

# A function's parameters, all with a default.
FUNCTIONS: tuple[tuple[str, str, str], ...] = (
    (
        "smooth",
        """
        window whole window width span
        center flag center centred middle
        method text method how kernel
        """,
        """
        smooth([1, 2, 3], {window}=5)
        smooth([1, 2, 3], {center}=True)
        smooth([1, 2, 3], {method}="mean")
        """,
    ),
    (
        "draw",
        """
        color text color colour paint
        size number size scale zoom
        title text title heading caption
        """,
        """
        draw([3, 1], {color}="red")
        draw([3, 1], {title}="Growth")
        draw([3, 1], {size}=2.5)
        """,
    ),
)
